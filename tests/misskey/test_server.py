"""From whatever a person typed to one canonical origin."""

import ipaddress
import random
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from misskey.errors import SERVER_NAME_REASONS, ServerNameError
from misskey.server import RESERVED, Server

PRIVATE = (
    *("http://127.0.0.1:3000", "http://[::1]:3000", "http://localhost"),
    *("https://misskey.lan", "http://misskey.io:81"),
)

ACCEPTED = {
    "the name alone": ("misskey.io", "misskey.io"),
    "an address": ("https://misskey.io", "misskey.io"),
    "an address with a slash": ("https://misskey.io/", "misskey.io"),
    "a profile's address in capitals": ("HTTPS://Misskey.IO/@alice", "misskey.io"),
    "the profile of someone elsewhere": ("https://misskey.io/@bob@elsewhere.example", "misskey.io"),
    "a page of the server": ("misskey.io/about", "misskey.io"),
    "a handle": ("@alice@misskey.io", "misskey.io"),
    "a handle with a dot": ("@alice.b@misskey.io", "misskey.io"),
    "a handle without the first @": ("alice_b-c@misskey.io", "misskey.io"),
    "a handle without the person": ("@misskey.io", "misskey.io"),
    "a handle as a link": ("acct:alice@misskey.io", "misskey.io"),
    "a handle as a link in capitals": ("ACCT:alice@misskey.io", "misskey.io"),
    "a link without the person": ("acct:misskey.io", "misskey.io"),
    "the longest text": ("misskey.io/".ljust(2048, "x"), "misskey.io"),
    "the usual port": ("https://misskey.io:443/", "misskey.io"),
    "the usual port, written long": ("misskey.io:00443", "misskey.io"),
    "a dot at the end": ("misskey.io.", "misskey.io"),
    "a handle in full-width letters": ("＠ａｌｉｃｅ＠ｍｉｓｓｋｅｙ．ｉｏ", "misskey.io"),
    "an address in full-width letters": ("ｈｔｔｐｓ：／／ｍｉｓｓｋｅｙ。ｉｏ／", "misskey.io"),
    "a half-width ideographic dot": ("misskey｡io", "misskey.io"),
    "spaces around it": (" \t\r\n\xa0\u3000misskey.io\u3000\u2003 ", "misskey.io"),
    "invisible characters around it": (
        "\ufeff\u200b\u200e\u202amisskey.io\u202c\u200d\u200c\u2069\u00ad",
        "misskey.io",
    ),
    "an invisible character that browsers drop": ("miss\u200bkey.io", "misskey.io"),
    "a Japanese name": ("にほん。jp", "xn--r9j6a7d.jp"),
    "a Japanese name in half-width letters": ("ﾐｽｷｰ.jp", "xn--nckxa7i0e.jp"),
    "a Japanese name in punycode": ("XN--R9J6A7D.jp", "xn--r9j6a7d.jp"),
    "a German name keeps its sharp s": ("straße.de", "xn--strae-oqa.de"),
    "a name from right to left": ("אבג.com", "xn--4dbcd.com"),
    "a Persian name with a joiner": ("نامه\u200cای.com", "xn--mgba3gch31f060k.com"),
    "two hyphens in the middle": ("r1---sn-a.example", "r1---sn-a.example"),
    "digits that are not an address": ("127.0.0.1.sslip.io", "127.0.0.1.sslip.io"),
    "a number with a letter at the end": ("1.2.3.0xg", "1.2.3.0xg"),
    "the longest label": (f"{'a' * 63}.io", f"{'a' * 63}.io"),
    "the longest name": (f"{'abcdefg.' * 31}abcde.", f"{'abcdefg.' * 31}abcde"),
    "a name for documentation": ("misskey.example", "misskey.example"),
}

REFUSED = {
    "empty": {
        "nothing": "",
        "only spaces": " \u3000\t",
        "only invisible characters": "\u200b\ufeff",
        "only a scheme": "https://",
        "no host": "https:///misskey.io",
        "only a path": "/@alice",
        "only an @": "@",
        "a person without a server": "alice@",
    },
    "scheme": {
        "http": "http://misskey.io",
        "ftp": "ftp://misskey.io/",
        "a script": "javascript:alert(1)",
        "a script with a dot and a port": "javascript:a.b:1",
        "a script that looks like an address": "javascript://misskey.io/%0aalert(1)",
        "data": "data:text/html,hello",
        "a file": "file:///etc/passwd",
        "no scheme before the colon": "://misskey.io",
        "no slashes": "https:misskey.io",
        "one slash": "https:/misskey.io",
        "a scheme in a scheme": "view-source:https://misskey.io",
        "a scheme after the person": "alice@https://misskey.io",
    },
    "login": {
        "a user and a password": "https://alice:secret@misskey.io",
        "a user": "https://alice@misskey.io",
        "an empty user": "https://@misskey.io",
        "another host as the user": "https://misskey.io@evil.example",
        "another host as the user, without the scheme": "misskey.io@evil.example",
        "a password without the scheme": "alice:secret@misskey.io",
        "two hosts": "@alice@misskey.io@evil.example",
        "two @ in a row": "@@misskey.io",
        "a user name that no one has": "alice!@misskey.io",
        "a full-width @": "https://misskey.io＠evil.example",
    },
    "query": {
        "a query": "https://misskey.io?q=1",
        "a query after a path": "https://misskey.io/about?q=1",
        "a fragment": "misskey.io#about",
        "a host behind a query": "https://misskey.io?@evil.example",
        "a host behind a fragment": "https://misskey.io#@evil.example",
        "a full-width question mark": "misskey.io？q",
    },
    "ip_address": {
        "dotted decimal": "127.0.0.1",
        "dotted decimal of someone else": "https://8.8.8.8/",
        "with a dot at the end": "127.0.0.1.",
        "with a port": "127.0.0.1:3000",
        "with http": "http://127.0.0.1/",
        "a handle": "@alice@127.0.0.1",
        "one number": "2130706433",
        "octal": "0177.0.0.1",
        "hexadecimal": "0x7f.1",
        "one hexadecimal number": "0x7F000001",
        "hexadecimal without digits": "1.2.3.0x",
        "short": "127.1",
        "too large": "999.999.999.999",
        "a number at the end of a name": "misskey.io.1",
        "full-width digits": "１２７．０．０．１",
        "circled digits": "①②⑦.⓪.⓪.①",
        "IPv6": "::1",
        "IPv6 in brackets": "https://[2001:db8::1]/",
        "IPv6 in brackets with a port": "[::1]:3000",
        "IPv6 with an interface": "fe80::1%eth0",
        "IPv6 with an interface in brackets": "[fe80::1%25eth0]",
        "IPv4 in IPv6": "[::ffff:127.0.0.1]",
        "IPv4 in IPv6 without brackets": "::ffff:7f00:1",
        "an open bracket": "[::1",
        "empty brackets": "[]",
    },
    "port": {
        "a word after a host without a dot": "https://misskey:web",
        "another port": "misskey.io:3000",
        "another port with https": "https://misskey.io:80/",
        "an empty port": "https://misskey.io:",
        "no number": "misskey.io:https",
        "too large": "misskey.io:65979",
        "two ports": "https://misskey.io:443:443",
    },
    "no_dot": {
        "a word": "misskey",
        "a person": "@alice",
        "a word with a dot at the end": "misskey.",
        "a Japanese word": "みすきー",
        "a word with a port": "misskey:3000",
    },
    "reserved": {f"the ending .{ending}": f"misskey.{ending}" for ending in sorted(RESERVED)}
    | {"this machine": "localhost:3000", "the home network": "misskey.home.arpa", "full-width": "ｌｏｃａｌｈｏｓｔ"},
    "too_long": {
        "a label": f"{'a' * 64}.io",
        "a label once it is in punycode": f"{'あ' * 60}い.jp",
        "a name": f"{'abcdefg.' * 31}abcdef",
        "a name of three hundred letters": f"{'abcdefghi.' * 30}io",
        "a name once it is in punycode": f"{'あいうえおかきく.' * 20}jp",
        "a text": " " * 2049,
        "a text that would be a name": f"https://misskey.io/{'a' * 2048}",
    },
    "characters": {
        "a space": "misskey. io",
        "an ideographic space": "misskey　.io",
        "two lines": "misskey.io\nevil.example",
        "a tab": "mis\tskey.io",
        "a null": "misskey.io\x00",
        "a backslash": "https://misskey.io\\@evil.example",
        "a full-width backslash": "misskey.io＼.evil.example",
        "a percent-escape": "https://misskey%2eio",
        "a percent-escape that hides a host": "https://misskey.io%2f.evil.example",
        "an underscore": "miss_key.io",
        "a hyphen at the start": "-misskey.io",
        "a hyphen at the end": "misskey-.io",
        "a hyphen at the end of a Japanese label": "みすきー-.jp",
        "an empty label": "misskey..io",
        "an empty label beside one from right to left": "אבג..io",
        "only dots": "..",
        "a dot at the start": ".misskey.io",
        "no host before the port": ":443",
        "a comma": "misskey.io,evil.example",
        "markup": "<b>misskey.io",
        "an emoji": "🍮.example",
        "a sign that browsers read as a/c": "https://misskey.io℀.evil.example",
        "a sign that looks like a slash": "misskey.io∕.evil.example",
        "a dot leader": "misskey․io",
        "a direction mark inside": "miss\u202ekey.io",
        "broken punycode": "xn--a.io",
        "punycode of nothing": "xn--.io",
        "punycode of ASCII": "xn--misskey-.io",
        "punycode of a capital Ä": "xn--7ba.io",
        "a digit beside a label from right to left": "1a.אבג.com",
        "a digit beside an Arabic label": "1a.مثال.com",
        "half of a character": "misskey\ud800.io",
    },
}


def each(names: list[str], table: dict[str, tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(names, table.values(), ids=table.keys())


def refusal(typed: str, private: tuple[str, ...] = ()) -> str | None:
    try:
        Server.parse(typed, private)
    except ServerNameError as error:
        return error.reason
    return None


@each(["typed", "host"], ACCEPTED)
def test_what_people_type_means_a_server(typed: str, host: str) -> None:
    server = Server.parse(typed)
    assert server == Server(f"https://{host}")
    assert not server.private
    assert_is_one_public_host(server)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [pytest.param(t, reason, id=f"{reason}: {what}") for reason, texts in REFUSED.items() for what, t in texts.items()],
)
def test_anything_else_is_refused_with_its_reason(typed: str, reason: str) -> None:
    with pytest.raises(ServerNameError) as caught:
        Server.parse(typed)
    assert caught.value.reason == reason
    assert (str(caught.value), caught.value.host) == (SERVER_NAME_REASONS[reason], "")


def test_every_reason_is_used() -> None:
    assert REFUSED.keys() == SERVER_NAME_REASONS.keys()


@each(
    ["typed", "origin"],
    {
        "the host and port": ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        "the origin": ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        "the origin with a path": ("http://127.0.0.1:3000/@alice", "http://127.0.0.1:3000"),
        "a handle": ("@alice@127.0.0.1:3000", "http://127.0.0.1:3000"),
        "a handle without the first @": ("alice@127.0.0.1:3000", "http://127.0.0.1:3000"),
        "full-width letters": ("１２７．０．０．１：３０００", "http://127.0.0.1:3000"),
        "a reserved name": ("misskey.lan", "https://misskey.lan"),
        "a reserved name with the usual port": ("misskey.lan:443", "https://misskey.lan"),
        "a name without a dot": ("LOCALHOST", "http://localhost"),
        "a name without a dot, with the usual port": ("localhost:80", "http://localhost"),
        "IPv6": ("[0::1]:3000", "http://[::1]:3000"),
        "a port on a public host": ("misskey.io:81", "http://misskey.io:81"),
    },
)
def test_a_private_server_is_reached_as_it_is_listed(typed: str, origin: str) -> None:
    server = Server.parse(typed, PRIVATE)
    assert server.origin == origin
    assert server.private
    assert {Server.parse(text, PRIVATE) for text in (server.origin, server.host, server.name)} == {server}


@each(
    ["typed", "reason"],
    {
        "another port": ("127.0.0.1:3001", "ip_address"),
        "no port": ("127.0.0.1", "ip_address"),
        "another scheme": ("https://127.0.0.1:3000", "ip_address"),
        "another spelling": ("127.1:3000", "ip_address"),
        "http where https is listed": ("http://misskey.lan", "reserved"),
        "a name below it": ("a.misskey.lan", "reserved"),
        "http at a public host": ("http://misskey.io", "scheme"),
        "another port at a public host": ("misskey.io:82", "port"),
        "a login": ("http://alice@127.0.0.1:3000", "login"),
        "a query": ("http://127.0.0.1:3000?", "query"),
    },
)
def test_anything_else_at_a_private_host_is_judged_as_public(typed: str, reason: str) -> None:
    assert refusal(typed, PRIVATE) == reason


def test_a_public_server_stays_public_beside_a_private_port() -> None:
    assert not Server.parse("misskey.io", PRIVATE).private


def test_the_https_origin_wins_where_both_are_listed() -> None:
    assert Server.parse("misskey.lan", {"http://misskey.lan", "https://misskey.lan"}).origin == "https://misskey.lan"


@pytest.mark.parametrize(
    ("text", "origin"),
    {
        " HTTP://LocalHost:3000/ ": "http://localhost:3000",
        "http://127.0.0.1": "http://127.0.0.1",
        "http://[0:0::1]:8080": "http://[::1]:8080",
        "https://misskey.lan:443": "https://misskey.lan",
        "http://misskey.lan:80": "http://misskey.lan",
        "http://misskey.lan:443": "http://misskey.lan:443",
        "http://misskey.lan:65535": "http://misskey.lan:65535",
        "https://テスト.test:3000": "https://xn--zckzah.test:3000",
    }.items(),
)
def test_a_setting_names_a_private_origin(text: str, origin: str) -> None:
    server = Server.parse_origin(text)
    assert server == Server(origin)
    assert server.private
    assert Server.parse(text, [server.origin]) == Server.parse_origin(origin) == server


@pytest.mark.parametrize(
    "text",
    [
        *("", "127.0.0.1:3000", "misskey.lan", "ftp://misskey.lan", "http://", "http://:3000"),
        *("http://misskey.lan/about", "http://misskey.lan?", "http://misskey.lan#", "http://alice@misskey.lan"),
        *("http://127.1", "http://0x7f.0.0.1", "http://0177.0.0.1", "http://2130706433", "http://127.0.0.1.1"),
        *("http://[::ffff:127.0.0.1]", "http://[fe80::1%25eth0]", "http://[fe80::1%eth0]", "http://[::1", "http://::1"),
        *("http://misskey.lan:65536", "http://misskey.lan:web", "http://miss_key.lan", "http://a,http://b"),
    ],
)
def test_a_setting_that_is_not_an_origin_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is not an origin such as "):
        Server.parse_origin(text)


@each(
    ["typed", "name"],
    {
        "ASCII": ("misskey.io", "misskey.io"),
        "hiragana and a long vowel": ("xn--w8jxa7itv.jp", "みすきー.jp"),
        "katakana, kanji and digits": ("ミスキー2-部々.jp", "ミスキー2-部々.jp"),
        "Korean": ("한국.kr", "한국.kr"),
        "Cyrillic that looks like Latin": ("аррӏе.com", "xn--80ak6aa92e.com"),
        "Latin with one Cyrillic letter": ("mіsskey.io", "xn--msskey-pvf.io"),
        "an accent that is easily overlooked": ("mìsskey.io", "xn--msskey-wva.io"),
        "kana that looks like a slash between Latin letters": (
            "misskey.ioノlogin.example",
            "misskey.xn--iologin-u04f.example",
        ),
    },
)
def test_the_name_for_people_can_not_pass_for_another(typed: str, name: str) -> None:
    assert Server.parse(typed).name == name


def test_a_private_server_keeps_its_port_in_its_name() -> None:
    assert Server.parse_origin("http://テスト.test:3000").name == "テスト.test:3000"


def test_a_server_is_its_origin() -> None:
    alice, bob = Server.parse("misskey.io"), Server.parse("misskey.example")
    assert {alice, Server("https://misskey.io", private=True), bob} == {alice, bob}
    assert str(alice) == alice.host == "misskey.io"


@pytest.mark.parametrize(
    "path", ["/api/meta", "api/meta", "//evil.example", ".evil.example", "@evil.example", ":80", ""]
)
def test_no_path_leads_to_another_host(path: str) -> None:
    assert urlsplit(Server.parse("misskey.io").url(path)).netloc == "misskey.io"


def test_a_path_is_put_behind_the_origin() -> None:
    server = Server.parse("misskey.io")
    assert server.url("/api/meta") == server.url("api/meta") == "https://misskey.io/api/meta"


# What was accepted, whatever it was.


def is_address(host: str) -> bool:
    for reads_addresses in (ipaddress.ip_address, socket.inet_aton):
        with suppress(ValueError, OSError):
            reads_addresses(host)
            return True
    return False


def test_addresses_are_told_in_every_notation() -> None:
    assert all(map(is_address, ("127.0.0.1", "::1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433")))
    assert not is_address("misskey.io")


def assert_is_one_public_host(server: Server) -> None:
    """One public name in plain ASCII, the same to every reader, and the same again when parsed."""
    host = server.host
    assert server.origin == f"https://{host}"
    assert re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", host)
    assert len(host) <= 253
    assert host.rpartition(".")[2] not in RESERVED
    assert not is_address(host)
    parts = urlsplit(server.origin)
    assert (parts.scheme, parts.netloc, parts.hostname, parts.port) == ("https", host, host, None)
    assert [Server.parse(text) for text in (server.origin, host, server.name)] == [server] * 3


PLAIN = ("misskey.io", "evil.example", "みすきー.jp", "@alice@", "https://", ".", "/", "/@alice", "a", "。", "-")
NASTY = (
    *PLAIN * 5,
    *("MISSKEY.IO", "xn--w8jxa7itv.jp", "аррӏе.com", "אבג.com", "alice", "xn--", "a" * 63, "い" * 64),
    *("127.0.0.1", "127.1", "0177.0.0.1", "0x7f.1", "2130706433", "0x7f000001", "[::1]", "::1", "[::ffff:127.0.0.1]"),
    *("１２７．０．０．１", "①②⑦.0.0.①", "169.254.169.254", "localhost", ".local", ".internal", ".onion", ".test"),
    *("HTTPS://", "http://", "https:", "https:/", "javascript:", "mailto:", "acct:", "//", "ｈｔｔｐｓ：／／"),
    *("%2e", "%40", "%00", ":443", ":80", ":3000", "..", "--"),
    *"@@＠/\\＼?#%::：..．｡․_℀⁄∕ßİKﬀſ㏂ノ1🍮",
    *"\0\t\n\r \x7f\x85\xa0\xad\u0301\u200b\u200d\u202e\u2028\u3000\ud800\ufeff\U000e0001",
)


def hostile_strings(count: int) -> Iterator[str]:
    """Nasty parts put together, some with a character dropped or doubled: the same ones on every run."""
    chance = random.Random(20)  # noqa: S311 (not a secret)
    for _ in range(count):
        text = "".join(chance.choices(NASTY, k=chance.randint(1, 5)))
        position = chance.randrange(len(text))
        yield text[:position] + text[position : position + 1] * chance.choice((0, 1, 1, 1, 2)) + text[position + 1 :]


@contextmanager
def without_network() -> Iterator[None]:
    """Fail when a name is looked up or a socket is made."""
    used: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection", "socket"):
            patch.setattr(socket, name, lambda *_, name=name, **__: used.append(name))
        yield
    assert used == []


@cache
def accepted_hostile_strings() -> dict[str, Server]:
    accepted = {}
    with without_network():
        for text in hostile_strings(100_000):
            with suppress(ServerNameError):
                accepted[text] = Server.parse(text)
    assert len(accepted) > 4_000
    return accepted


def test_looking_up_a_name_would_be_noticed() -> None:
    with pytest.raises(AssertionError), without_network():
        socket.getaddrinfo("127.0.0.1", 443)


def test_a_hundred_thousand_hostile_strings_give_nothing_but_public_hosts() -> None:
    for server in set(accepted_hostile_strings().values()):
        assert_is_one_public_host(server)


typed_texts = st.one_of(
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=6).map("".join),
    st.builds("https://{}.{}".format, st.text(), st.sampled_from(["io", "みんな", "com/"])),
    st.builds(
        "{}.{}".format,
        st.text("あーミス部한éßаا1a-", min_size=1, max_size=8),
        st.sampled_from(["jp", "한국", "рф", "שלום"]),
    ),
)


@settings(deadline=None)
@given(typed_texts)
def test_whatever_is_accepted_is_the_same_host_to_python(typed: str) -> None:
    if refusal(typed) is None:
        server = Server.parse(typed)
        assert_is_one_public_host(server)
        assert urllib3.util.parse_url(server.origin).host == server.host
        assert requests.Request("GET", server.origin).prepare().url == server.url("/")


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page()
    yield page
    page.close()


def hosts_in_chromium(page: Page, urls: list[str]) -> list[str | None]:
    script = "urls => urls.map(url => { try { return new URL(url).host } catch { return null } })"
    hosts: list[str | None] = page.evaluate(script, urls)
    return hosts


def assert_chromium_agrees(page: Page, accepted: dict[str, Server]) -> None:
    """The origin leads to its own host in a browser, and so does what was typed, if it leads anywhere.

    Left out is what has spaces around it: Chromium escapes the wide ones into the host, where they lead nowhere.
    """
    assert hosts_in_chromium(page, [server.origin for server in accepted.values()]) == [*map(str, accepted.values())]
    addresses = {text: server.host for text, server in accepted.items() if re.fullmatch(r"(?i)https://\S+", text)}
    for (text, host), seen in zip(addresses.items(), hosts_in_chromium(page, [*addresses]), strict=True):
        assert seen is None or seen.removesuffix(".") == host, text


def test_chromium_reads_what_people_type_in_the_same_way(page: Page) -> None:
    assert_chromium_agrees(page, {typed: Server.parse(typed) for typed, _ in ACCEPTED.values()})


def test_chromium_reads_hostile_strings_in_the_same_way(page: Page) -> None:
    assert_chromium_agrees(page, accepted_hostile_strings())


@settings(deadline=None, max_examples=50)
@given(st.lists(typed_texts, min_size=20, max_size=60))
def test_chromium_reads_whatever_is_accepted_in_the_same_way(page: Page, texts: list[str]) -> None:
    assert_chromium_agrees(page, {text: Server.parse(text) for text in texts if refusal(text) is None})
