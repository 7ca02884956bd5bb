"""Certificates and proxies in the environment."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from trustme import CA

from misskey import Server, Transport
from misskey.environment import ca_bundle, check_proxies, proxy_for, tls_context
from tests import hostile
from tests.hostile import answers, authority, serve

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)


def bundle_of(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not a certificate",
        os.urandom(1000),
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        authority().private_key_pem.bytes(),
        ssl.PEM_cert_to_DER_cert(authority().cert_pem.bytes().decode()),
        authority().cert_pem.bytes()[:-60],
    ],
    ids=["empty", "blank", "words", "bytes", "broken", "key", "DER", "cut"],
)
def test_a_bundle_without_certificates_stops_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes
) -> None:
    path = bundle_of(content, tmp_path)
    monkeypatch.setenv(name, str(path))

    with pytest.raises(ValueError, match=f"{name} names {path}, where no certificate can be read"):
        Transport("test/1.0")


def test_a_folder_without_certificates_that_can_be_found_stops_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    for name, content in (("", b""), ("ca.pem", authority().cert_pem.bytes()), ("0123abcd.0", b"")):
        if name:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="no certificate can be read"):
            ca_bundle()


def test_good_bundles_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert ca_bundle() is True
    file = bundle_of(b"# The tests' own\n" + authority().cert_pem.bytes(), tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(file, folder / "ca.pem")
    subprocess.run(["openssl", "rehash", folder], check=True)
    with serve(answers(200, b"{}"), tls=hostile.certified("127.0.0.1")) as server:
        for place in (file, folder):
            monkeypatch.setenv("SSL_CERT_FILE", str(place))
            transport = Transport("test/1.0")
            assert transport.request("POST", Server.parse_origin(server.origin), "/api/meta", body=b"{}").status == 200
            transport.close()


def test_what_is_put_into_a_folder_later_counts_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(CA().cert_pem.bytes())
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    transport = Transport("test/1.0")
    bundle_of(authority().cert_pem.bytes(), tmp_path)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    with serve(answers(200, b"{}"), tls=hostile.certified("127.0.0.1")) as server:
        assert transport.request("POST", Server.parse_origin(server.origin), "/api/meta", body=b"{}").status == 200
    transport.close()


def test_certificates_are_read_once_and_anew_when_they_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle := bundle_of(authority().cert_pem.bytes(), tmp_path)))
    first = tls_context()
    assert tls_context() is first
    monkeypatch.delenv("SSL_CERT_FILE")
    usual = tls_context()
    assert tls_context() is usual is not first
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle_of(bundle.read_bytes() * 2, tmp_path)))

    assert tls_context() is not first


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"])
@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://app:s3cret@127.0.0.1:1080",
        "socks5h://127.0.0.1:1080",
        "https://proxy.example:3128",
        "SOCKS4://127.0.0.1",
        "http://app:s3cret@",
        "http://app:s3cret@proxy.example:port",
        "http://app:s3/cret@proxy.example:3128",
        "http://[::1",
        "http://proxy.example:99999",
        "http:/proxy.example",
        "http//proxy.example:3128",
        "http://pro xy",
        "ftp://proxy.example",
        "://",
    ],
)
def test_a_proxy_that_can_not_be_used_stops_in_words_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)

    with pytest.raises(ValueError, match="_PROXY") as caught:
        check_proxies()

    assert str(caught.value) == (
        f"{name.upper()} must be the address of an HTTP proxy, such as http://proxy.example:3128. "
        "Others, such as SOCKS or over TLS, are not supported; without a proxy, leave it empty"
    )


@pytest.mark.parametrize(
    "proxy",
    [
        *(PROXY, f"{PROXY}/", "http://app:s3cret@[::1]:3128", "10.0.0.1:3128", "proxy.example:1", ""),
        *("proxy:3128", "localhost:3128", "app:s3cret@proxy:3128"),  # the part before the first colon is no scheme
    ],
)
def test_an_http_proxy_is_fine(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    check_proxies()


def test_a_proxy_for_all_the_rest_does_not_matter_where_there_is_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    with pytest.raises(ValueError, match="ALL_PROXY"):
        check_proxies()

    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    check_proxies()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "127.8.9.1", "[::1]:3000", "localhost", "localhost.:80", "a.localhost"]
)
def test_no_proxy_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch, name: str, host: str) -> None:
    monkeypatch.setenv(name, PROXY)

    for scheme in ("http", "https"):
        assert proxy_for(Server(f"{scheme}://{host}")) is None


@pytest.mark.parametrize("host", ["misskey.io", "10.0.0.1", "misskey.lan:3000", "notlocalhost", "localhost.example"])
def test_elsewhere_no_proxy_decides(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert str(proxy_for(Server(f"http://{host}"))) == PROXY

    monkeypatch.setenv("NO_PROXY", re.sub(":.*", "", host))
    assert proxy_for(Server(f"http://{host}")) is None


def test_without_any_proxy_in_the_environment_nobody_else_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("getproxies", "proxy_bypass"):  # of macOS, such calls end a process that was forked
        monkeypatch.setattr(f"requests.utils.{name}", lambda *_: pytest.fail("asked"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    assert proxy_for(Server("https://misskey.example")) is None
    check_proxies()


def test_a_server_on_this_machine_is_reached_beside_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answers(200, b"{}")) as server, serve(answers(403)) as between:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, between.origin)
        transport = Transport("test/1.0")
        assert transport.request("POST", Server.parse_origin(server.origin), "/api/meta", body=b"{}").status == 200
        transport.close()

    assert between.connections == 0
