"""A call as code to copy: for a shell, for Python, for JavaScript. Each runs as it stands, whatever the values are."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from textwrap import indent
from typing import Any

TOKEN = "YOUR_ACCESS_TOKEN"  # noqa: S105 - stands where the token goes
FILE = "YOUR_FILE"
# What can't be seen, or turns a line around: JSON and JavaScript may escape it inside texts, and nowhere else is it.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def as_json(value: object) -> str:
    """Return indented JSON that can be read in any script, with all that can't be seen escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def of_call(url: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return code by language that sends ``params`` as JSON to ``url``."""
    body = {"i": TOKEN, **params}
    curl = f"curl {shlex.quote(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(as_json(body))}\n"
    python = (
        "import requests\n\n"
        "answer = requests.post(\n"
        f'    "{url}",\n'
        f"    json={_python(body, 4)},\n"
        "    timeout=30,\n"
        ")\n"
        "print(answer.status_code, answer.text)\n"
    )
    javascript = (
        f'const answer = await fetch("{url}", {{\n'
        '  method: "POST",\n'
        '  headers: { "Content-Type": "application/json" },\n'
        f"  body: JSON.stringify({_javascript(body, 2)}),\n"
        "});\n"
        "console.log(answer.status, await answer.text());\n"
    )
    return {"curl": curl, "Python": python, "JavaScript": javascript}


def of_upload(url: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return code by language that sends a file and ``params`` as a multipart form to ``url``."""
    given = {name: value for name, value in {"i": TOKEN, **params}.items() if value is not None}
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    # Unlike -F, --form-string takes a value that begins with @ or < as it is.
    parts = [f"  --form-string {shlex.quote(f'{name}={value}')} \\\n" for name, value in fields.items()]
    curl = f"curl {shlex.quote(url)} \\\n{''.join(parts)}  -F file=@{FILE}\n"
    python = (
        "import requests\n\n"
        f'with open("{FILE}", "rb") as file:\n'
        "    answer = requests.post(\n"
        f'        "{url}",\n'
        f"        data={_python(fields, 8)},\n"
        '        files={"file": file},\n'
        "        timeout=60,\n"
        "    )\n"
        "print(answer.status_code, answer.text)\n"
    )
    javascript = (
        "const form = new FormData();\n"
        f"for (const [name, value] of Object.entries({_javascript(fields, 0)})) form.append(name, value);\n"
        'form.append("file", new File(["Hello"], "hello.txt", { type: "text/plain" }));\n'
        f'const answer = await fetch("{url}", {{ method: "POST", body: form }});\n'
        "console.log(answer.status, await answer.text());\n"
    )
    return {"curl": curl, "Python": python, "JavaScript": javascript}


def _python(value: object, columns: int) -> str:
    # Outside of texts, JSON is Python but for three words; inside of them, each escape means the same.
    words = {"true": "True", "false": "False", "null": "None"}
    text = re.sub(r'"(?:[^"\\]|\\.)*"|true|false|null', lambda found: words.get(found[0], found[0]), as_json(value))
    return indent(text, " " * columns).lstrip()


def _javascript(value: object, columns: int) -> str:
    # In JavaScript the name __proto__ is special unless it is computed; </ and <! would end or mute a page's script.
    text = re.sub("<(?=[/!])", r"\\u003c", as_json(value)).replace('"__proto__":', '["__proto__"]:')
    return indent(text, " " * columns).lstrip()
