"""The interface of the package: everything public is explained, and every example in it is run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import misskey
from misskey import Client, MisskeyError, Server, Transport
from sandbox import Running

MODULES = [importlib.import_module(f"misskey.{found.name}") for found in pkgutil.iter_modules(misskey.__path__)]
EXAMPLES = [test for module in MODULES for test in doctest.DocTestFinder(exclude_empty=True).find(module)]
PUBLIC = {name: getattr(misskey, name) for name in misskey.__all__}
CALLABLE = {name: value for name, value in PUBLIC.items() if callable(value)}


def is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, MisskeyError)


def members(value: type) -> list[tuple[str, Any]]:
    """Return the public functions of a class, with the one that makes an instance where it has words of its own."""
    return [(name, found) for name, found in vars(value).items() if inspect.isfunction(found) and name[0] != "_"]


@pytest.fixture
def names(sandbox: Running) -> Iterator[dict[str, Any]]:
    """What an example may use without saying where it comes from."""
    transport, server = Transport("MyApp/1.0 (+https://myapp.example)"), Server.parse_origin(sandbox.origin)
    yield PUBLIC | {
        "transport": transport,
        "server": server,
        "client": Client(server, transport, "aliceNativeToken"),
    }
    transport.close()


@pytest.mark.parametrize(
    "example", [test for test in EXAMPLES if test.examples], ids=lambda test: test.name.removeprefix("misskey.")
)
def test_an_example_is_true(example: doctest.DocTest, names: dict[str, Any]) -> None:
    example.globs = names
    said: list[str] = []

    assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("name", CALLABLE)
def test_a_public_name_is_explained_and_typed(name: str) -> None:
    value = CALLABLE[name]
    functions = [value] if inspect.isfunction(value) else [found for _, found in members(value)]

    assert inspect.getdoc(value)
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty


@pytest.mark.parametrize("name", [name for name, value in CALLABLE.items() if not is_error(value)])
def test_a_public_name_has_an_example(name: str) -> None:
    where = f"{CALLABLE[name].__module__}.{name}"

    assert [test.name for test in EXAMPLES if test.examples and test.name.startswith(where)]


def test_every_public_method_is_explained() -> None:
    silent = [
        f"{name}.{method}"
        for name, value in CALLABLE.items()
        if inspect.isclass(value)
        for method, function in members(value)
        if not inspect.getdoc(function)
    ]

    assert silent == []
