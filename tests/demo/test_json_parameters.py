"""JSON that a person typed: what is read, and the words when it is wrong."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from wtforms import ValidationError

from demo import json_parameters

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def wrong(app: Flask, text: str) -> str:
    """The words for a text that can't be read."""
    with app.test_request_context(), pytest.raises(ValidationError) as refused:
        json_parameters.read(text)
    return str(refused.value)


@given(value=st.dictionaries(st.text(), VALUES))
def test_every_object_is_read_as_it_is(value: dict[str, object]) -> None:
    assert json_parameters.read(json.dumps(value)) == value
    assert json_parameters.read(json.dumps(value, ensure_ascii=False, indent=2)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{limit: 3}", "Line 1, column 2: a name in double quotes"),
        ("{\n  'limit': 3\n}", "Line 2, column 3: a name in double quotes"),
        ('{"limit": }', "Line 1, column 11: a value belongs here"),
        ('{"limit" 3}', "Line 1, column 10: a colon belongs here"),
        ('{"a": 1\n "b": 2}', "Line 2, column 2: a comma"),
        ('{"a": "b}', "Line 1, column 7: the text that begins here"),
        ('{"a": "b\nc"}', "Line 1, column 9: inside a text, a line break is written \\n"),
        ('{"a": "\\d"}', "after a backslash"),
        ('{"a": "\\u12"}', "after a backslash"),
        ("{} {}", "Line 1, column 4: this is more than one value"),
        ("\ufeff{}", "Line 1, column 1:  (U+FEFF) is no character of JSON"),
        ("{“text”: 1}", "Line 1, column 2: “ (U+201C) is no character of JSON"),  # keyboards make them of straight ones
        ('{"text"：1}', "Line 1, column 8: ： (U+FF1A) is no character of JSON"),
        ('{"text": 1}\u3000', "Line 1, column 12:  (U+3000) is no character of JSON"),
        ('{\n\xa0 "text": 1}', "Line 2, column 1:  (U+00A0) is no character of JSON"),  # copied from a page
        ("[1]", "Parameters are an object"),
        ("null", "Parameters are an object"),
        ('{"a": NaN}', "JSON has no NaN"),
        ('{"a": -Infinity}', "JSON has no -Infinity"),
        ('{"a": 1e999}', "longer than any server reads"),
        ('{"a": ' + "1" * 301 + "}", "longer than any server reads"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "“c” is there twice"),
        (r'{"\ud800": 1, "\ud800": 2}', "“?” is there twice"),  # half a surrogate pair, which no page can hold
    ],
)
def test_what_is_wrong_is_told_with_its_place(app: Flask, text: str, words: str) -> None:
    assert words in wrong(app, text)


def test_a_comma_too_many_is_told(app: Flask) -> None:
    told = wrong(app, '{"a": 1,}')

    assert told.startswith("Line 1, column ")
    assert "no comma after the last value" in told


@pytest.mark.parametrize("depth", [50, 5000, 100_000])
def test_too_many_brackets_are_told(app: Flask, depth: int) -> None:
    assert "nested deeper" in wrong(app, '{"a": ' + "[" * depth + "]" * depth + "}")


def test_brackets_that_an_endpoint_could_take_are_read() -> None:
    assert json_parameters.read('{"a": ' + "[" * 48 + "]" * 48 + "}")
