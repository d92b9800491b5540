"""Addresses that somebody names lead outside only: as text, through names, through redirects."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from openintern import outgoing
from openintern.outgoing import Unreachable, check_url, fetch
from tests.peers.site import saying

INSIDE = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "[::1]", "[::]",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]",
    "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255",
]  # fmt: skip
NO_ADDRESS = [
    "file:///etc/passwd", "gopher://example.org/", "ftp://example.org/", "//example.org/", "example.org", "", "http://",
    "http://user@example.org/", "http://user:word@127.0.0.1/", "http://a\\@127.0.0.1/", "http://example.org:99999/",
    "http://exam ple.org/", "http://example.org/\r\nX: y", "javascript:alert(1)", "http://" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(Unreachable):
        check_url(f"http://{host}/latest/meta-data")


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(Unreachable):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["http://example.org", "https://example.org:8443/a?b=c#d", "http://8.8.8.8/", "http://xn--fiq228c.example/"]
)
def test_a_public_address_is_let_through(url: str) -> None:
    assert check_url(url) == url


def test_a_name_that_stands_for_an_address_inside_is_refused_when_connecting(serve: Any) -> None:
    site = serve(saying(b"secret"))

    with pytest.raises(Unreachable, match="not a public address"):
        fetch(f"http://localhost:{site.port}/")

    assert site.asked == []


def test_one_address_inside_among_public_ones_is_enough(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that gives both would otherwise be asked until it gives the right one."""
    site = serve(saying(b"secret"))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, site.port)) for address in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)

    with pytest.raises(Unreachable, match="not a public address"):
        fetch(f"http://rebinding.example:{site.port}/")

    assert site.asked == []


def test_a_redirect_is_judged_like_the_first_address(serve: Any, allow: Any) -> None:
    inside = serve(saying(b"secret"))
    outside = serve(saying(b"", status=302, Location=f"http://127.0.0.1:{inside.port}/"))
    allow(f"127.0.0.1:{outside.port}")

    with pytest.raises(Unreachable, match="not a public address"):
        fetch(f"http://127.0.0.1:{outside.port}/")

    assert (outside.asked, inside.asked) == (["/"], [])


def test_what_the_operator_lists_is_reached_and_nothing_beside_it(serve: Any, allow: Any) -> None:
    listed, other = serve(saying(b"hello", Content_Type="text/plain; charset=utf-8")), serve(saying(b"secret"))
    allow(f"127.0.0.1:{listed.port}")

    answer = fetch(f"http://127.0.0.1:{listed.port}/page")

    assert (answer.status, answer.content, answer.content_type, answer.is_cut) == (200, b"hello", "text/plain", False)
    with pytest.raises(Unreachable):
        fetch(f"http://127.0.0.1:{other.port}/")


def test_redirects_end(serve: Any, allow: Any) -> None:
    site = serve(saying(b"", status=301, Location="/again"))
    allow(f"127.0.0.1:{site.port}")

    with pytest.raises(Unreachable, match="redirects"):
        fetch(f"http://127.0.0.1:{site.port}/")

    assert len(site.asked) == outgoing.MAX_REDIRECTS + 1


def test_an_answer_without_end_is_cut(serve: Any, allow: Any) -> None:
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            pass  # the reader has had enough

    site = serve(pour)
    allow(f"127.0.0.1:{site.port}")

    answer = fetch(f"http://127.0.0.1:{site.port}/", max_bytes=100_000)

    assert (len(answer.content), answer.is_cut) == (100_000, True)


@pytest.mark.parametrize("begins_with", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_drip_ends_with_the_time(serve: Any, allow: Any, monkeypatch: pytest.MonkeyPatch, begins_with: bytes) -> None:
    dripping = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begins_with)
        try:
            while not dripping.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            pass  # the reader has gone

    site = serve(drip)
    allow(f"127.0.0.1:{site.port}")
    monkeypatch.setattr(outgoing, "TOTAL_SECONDS", 0.5)

    with pytest.raises(Unreachable, match="in time"):
        fetch(f"http://127.0.0.1:{site.port}/")

    dripping.set()


def test_a_packed_answer_is_not_unpacked(serve: Any, allow: Any) -> None:
    site = serve(saying(b"\x1f\x8b", Content_Encoding="gzip"))
    allow(f"127.0.0.1:{site.port}")

    with pytest.raises(Unreachable, match="packed"):
        fetch(f"http://127.0.0.1:{site.port}/")


def test_the_environments_proxy_is_not_used(serve: Any, allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, site = serve(saying(b"proxied")), serve(saying(b"direct"))
    allow(f"127.0.0.1:{site.port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")

    assert fetch(f"http://127.0.0.1:{site.port}/").content == b"direct"
