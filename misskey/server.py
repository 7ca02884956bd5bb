"""Which server: from whatever a person typed to one canonical origin.

What is accepted means the same host to this module, to Python's ``urllib`` and to a browser. Host names are read as
browsers read them (https://url.spec.whatwg.org/#host-parsing, https://www.unicode.org/reports/tr46/); what a browser
would repair by guessing, or what could hide another host, is refused with a reason.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import idna

from .errors import ServerNameError

MAX_TEXT = 2048
MAX_HOST, MAX_LABEL = 253, 63  # what DNS can carry
USUAL_PORTS = {"https": 443, "http": 80}
#: Endings that no public server has, but a private one may. ``.example`` is for documentation and leads nowhere anyway.
RESERVED = frozenset(
    {
        *("invalid", "localhost", "test"),  # RFC 6761
        *("alt", "arpa", "local", "onion"),  # RFC 9476, RFC 3172 and 8375 (home.arpa), RFC 6762, RFC 7686
        *("corp", "home", "internal", "intranet", "lan", "localdomain", "private"),  # RFC 6762, appendix G, and habit
    }
)

# Letters of an input method that is still in full-width mode: ｍｉｓｓｋｅｙ。ｉｏ
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("。"): ".", ord("｡"): "."}
_SPACES = (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
_INVISIBLE = (0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
_AROUND = "".join(map(chr, _SPACES + _INVISIBLE))
# Browsers take "\" for "/" and skip line breaks; other programs don't.
_AMBIGUOUS = re.compile(r"[\s\x00-\x1f\x7f\\]")
_USER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HOST_AND_PORT = re.compile(r"(\[[^]]*]|[^:]*)(?::([0-9]+))?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
# A host that ends like this is an IPv4 address to a browser, which also reads 127.1, 0177.0.0.1 and 2130706433.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Scripts that can't pass for the letters of another name, as Cyrillic, Greek or accents can.
_UNMISTAKABLE = ("HIRAGANA ", "KATAKANA LETTER ", "KATAKANA-HIRAGANA ", "CJK UNIFIED ", "IDEOGRAPHIC ", "HANGUL ")


@dataclass(frozen=True, slots=True)
class Server:
    """A Misskey server, known by its ``origin`` (``https://misskey.io``); ``private`` when a setting lists it.

    Make one with :meth:`parse` or :meth:`parse_origin`. Servers are equal when their origins are.

    >>> Server.parse("https://misskey.io/@alice") == Server.parse("@alice@misskey.io")
    True
    """

    origin: str
    private: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, typed: str, private: Collection[str] = ()) -> Server:
        """Return the server that ``typed`` means: a name, an address, ``@user@host``, with or without a path.

        ``private`` are canonical origins (:meth:`parse_origin`) that may be http, an IP address or have a port; their
        host and port alone mean them too, the https one first. Everything else is https at a public name.
        Raises :class:`~misskey.errors.ServerNameError` with the reason. Nothing is looked up.

        >>> Server.parse("ミスキー.jp").host
        'xn--nckxa7i0e.jp'
        >>> Server.parse("192.168.1.1")
        Traceback (most recent call last):
        misskey.errors.ServerNameError: Type the name of your server, not an IP address.
        """
        address = _read(typed)
        for scheme in (address.scheme,) if address.scheme else ("https", "http"):
            origin = address.origin(scheme)
            if origin in private:
                return cls(origin, private=True)
        _require_public(address)
        return cls(f"https://{address.host}")

    @classmethod
    def parse_origin(cls, text: str) -> Server:
        """Return the private server that a setting names: http or https, any host, any port, and nothing more.

        Raises :class:`ValueError` with words for the person who wrote the setting.

        >>> Server.parse_origin("http://127.0.0.1:3000").private
        True
        """
        problem = f"{text!r} is not an origin such as http://127.0.0.1:3000 or https://misskey.lan"
        try:
            address = _read(text)
            if _NUMBER.fullmatch(address.host.rpartition(".")[2]):
                ipaddress.IPv4Address(address.host)
        except ValueError as error:
            raise ValueError(problem) from error
        if not address.scheme or address.path not in ("", "/"):
            raise ValueError(problem)
        return cls(address.origin(address.scheme), private=True)

    @property
    def host(self) -> str:
        """The host in ASCII, as in ``xn--zckzah.jp``; with ``:port`` where a private origin has one."""
        return self.origin.partition("://")[2]

    @property
    def name(self) -> str:
        """The host for people: Japanese, Chinese and Korean labels in their own letters, others as in :attr:`host`."""
        host, colon, port = self.host.partition(":")
        return ".".join(map(_readable, host.split("."))) + colon + port

    def url(self, path: str) -> str:
        """Return the URL of ``path`` at this server; no path leads to another host.

        >>> Server.parse("misskey.io").url("/@alice")
        'https://misskey.io/@alice'
        """
        return f"{self.origin}/{path.removeprefix('/')}"

    def __str__(self) -> str:
        return self.host


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a host is, ``None`` for a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


class _Address(NamedTuple):
    scheme: str  # "" where none was typed
    host: str
    port: int | None
    path: str

    def origin(self, scheme: str) -> str:
        port = "" if self.port in (None, USUAL_PORTS[scheme]) else f":{self.port}"
        return f"{scheme}://{self.host}{port}"


def _read(typed: str) -> _Address:
    """Take apart what was typed, and refuse what could be read in two ways."""
    if len(typed) > MAX_TEXT:
        raise ServerNameError("too_long")
    text = typed.strip(_AROUND).translate(_HALF_WIDTH)
    if _AMBIGUOUS.search(text):
        raise ServerNameError("characters")
    scheme, slashes, rest = text.partition("://")
    scheme = scheme.lower()
    if not slashes:
        scheme, rest = "", text[5:] if scheme.startswith("acct:") else text
    elif scheme not in USUAL_PORTS:
        raise ServerNameError("scheme")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    place = _without_user(authority, scheme)
    path = rest[len(authority) :]
    if "?" in path or "#" in path:
        raise ServerNameError("query")
    if not place:
        raise ServerNameError("empty")
    host, port = _split_port(place, scheme)
    return _Address(scheme, _ascii_host(host), port, path)


def _without_user(authority: str, scheme: str) -> str:
    """Drop the user of ``@user@host`` and ``user@host``; in the second, a dot would look like the host itself."""
    mention = authority.startswith("@") and not scheme
    user, at, place = authority[mention:].rpartition("@")
    if at and (scheme or not _USER_NAME.fullmatch(user) or ("." in user and not mention)):
        raise ServerNameError("login")
    return place


def _split_port(place: str, scheme: str) -> tuple[str, int | None]:
    if match := _HOST_AND_PORT.fullmatch(place):
        host, port = match[1], int(match[2]) if match[2] else None
        if port is None or port <= 65535:
            return host, port
    elif place.startswith("[") or ip_address(place):
        raise ServerNameError("ip_address")
    elif not scheme and "." not in place.partition(":")[0]:  # javascript:alert(1), https:misskey.io
        raise ServerNameError("scheme")
    raise ServerNameError("port")


def _ascii_host(host: str) -> str:
    """Return the canonical form of a host name or address, whatever it leads to."""
    if host.startswith("["):
        address = ip_address(host[1:-1])
        if not isinstance(address, ipaddress.IPv6Address) or address.scope_id or address.ipv4_mapped:
            raise ServerNameError("ip_address")
        return f"[{address}]"
    if len(host) > MAX_HOST + 1:  # with a dot at the end
        raise ServerNameError("too_long")
    try:
        labels = _ascii_labels(idna.uts46_remap(host, std3_rules=False).removesuffix(".").split("."))
    except idna.IDNAError:
        raise ServerNameError("characters") from None
    name = ".".join(labels)
    if len(name) > MAX_HOST or max(map(len, labels)) > MAX_LABEL:
        raise ServerNameError("too_long")
    return name


def _ascii_labels(labels: list[str]) -> list[str]:
    words = [idna.ulabel(label) if label.startswith("xn--") else label for label in labels]
    ascii_labels = [_ascii_label(word) for word in words]
    if any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in "".join(words)):
        for word in words:  # with one label from right to left, browsers hold all of them to the rule (RFC 5893)
            idna.check_bidi(word, check_ltr=True)
    return ascii_labels


def _ascii_label(word: str) -> str:
    if not word.isascii():
        idna.check_label(word)
        return f"xn--{word.encode('punycode').decode()}"
    if not _LABEL.fullmatch(word):
        raise ServerNameError("characters")
    return word


def _require_public(address: _Address) -> None:
    labels = address.host.split(".")
    if address.host.startswith("[") or _NUMBER.fullmatch(labels[-1]):
        raise ServerNameError("ip_address")
    if labels[-1] in RESERVED:
        raise ServerNameError("reserved")
    if len(labels) == 1:
        raise ServerNameError("no_dot")
    if address.scheme == "http":
        raise ServerNameError("scheme")
    if address.port not in (None, 443):
        raise ServerNameError("port")


def _readable(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    word = idna.ulabel(label)
    if all(letter in "-0123456789" or unicodedata.name(letter, "").startswith(_UNMISTAKABLE) for letter in word):
        return word
    return label
