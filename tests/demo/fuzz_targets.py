"""What is typed as parameters into the console."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from wtforms import ValidationError

from demo import json_parameters
from tests.web.fuzz_targets import app, text


def parameters(data: bytes) -> None:
    """It is read as Python's own reader does, or refused in words."""
    typed = text(data)
    with app().test_request_context(), suppress(ValidationError):
        assert json_parameters.read(typed) == json.loads(typed)


def seeds() -> dict[Callable[[bytes], None], list[bytes]]:
    """Return what to begin with."""
    return {
        parameters: [
            b'{"limit": 3, "a": [true, null, -1.5e3], "b": {"c": "\\u3042\\n"}}',
            b"[]",
            b'{"a": 1,}',
            b'{"a": NaN}',
        ]
    }
