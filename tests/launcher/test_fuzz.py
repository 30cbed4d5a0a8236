"""Whatever a stranger sends, the launcher answers it or hangs up, and goes on serving others."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.integration

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "dev.coalmine.release.requested.v1",
    "data": {"name": "iris"},
}
STRUCTURED = ("Content-Type", "application/cloudevents+json")
BATCHED = ("Content-Type", "application/cloudevents-batch+json")

VALUES = st.one_of(
    st.sampled_from(
        ["1.0", "", "0.3", "%zz", "%80", '"a\\"', "é", "\x7f", "a, b", "application/json"]
    ),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
)
HEADERS = """
ce-id CE-Source ce-type ce-specversion ce-time ce- ce-a_b Origin Content-Type Content-Length
Transfer-Encoding Content-Encoding Expect Authorization Upgrade Connection Host webhook-signature
"""
NAMES = st.sampled_from(HEADERS.split()) | st.text("abc-_ :\x00é", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.just(value)
        for name, value in {**EVENT, "time": "x", "data_base64": "!"}.items()
    },
)
BODIES = st.one_of(
    st.binary(max_size=40),
    EVENTS.map(lambda event: json.dumps(event).encode()),
    st.lists(EVENTS, max_size=3).map(lambda events: json.dumps(events).encode()),
    st.sampled_from([b"[" * 3000, b'{"a":' * 3000, b"1e999999", b'"\\ud800"', b"\xff\xfe{}"]),
)
REQUESTS = st.tuples(
    st.sampled_from(["POST", "POST", "POST", "GET", "OPTIONS", "PUT", "HEAD", "BREW", ""]),
    st.sampled_from(
        ["/", "/events", "/releases/x/cancel", "/releases/%00", "/%ff", "*", "//", "/?a=%"]
    ),
    st.lists(st.tuples(NAMES, VALUES) | st.sampled_from([STRUCTURED, BATCHED]), max_size=8),
    BODIES,
)


def raw(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def exchange(url: str, sent: bytes) -> bytes:
    """Send, say that nothing follows, and read to the end."""
    answer = b""
    with connected(url) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            answer += part
    return answer


def check(answer: bytes) -> None:
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, answer
        if status >= 400:
            assert b"application/problem+json" in answer, answer


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS, st.integers(0, 400), st.booleans())
@example(
    ("POST", "/", [("Transfer-Encoding", "chunked"), STRUCTURED], b"ffffffffffffffff\r\n"), 0, False
)
def test_requests_of_any_kind(quiet: Any, request_parts: Any, cut: int, truncated: bool) -> None:
    sent = raw(*request_parts)
    check(exchange(quiet.url, sent[:cut] if truncated else sent))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(quiet: Any, sent: bytes) -> None:
    check(exchange(quiet.url, sent))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 40_000, b"431"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\nx", b"413"),
        (b"GET /healthz HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n" + b"a" * (2 << 20),
            b"413",
        ),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
    ],
)
def test_what_is_too_large_or_no_http(quiet: Any, sent: bytes, status: bytes) -> None:
    with connected(quiet.url) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        answer = connection.recv(65536)
    assert answer.split(b" ")[1] == status
    assert b"application/problem+json" in answer


def test_slow_senders_do_not_stop_others(quiet: Any) -> None:
    """Three hundred that drip: heads without end, bodies without end, nothing at all."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\n"
    body = head + b"Content-Length: 100\r\nContent-Type: application/json\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        for beginning in [b"", body, head] * 100:
            connection = stack.enter_context(connected(quiet.url))
            connection.sendall(beginning)
        client = stack.enter_context(httpx.Client())
        for _ in range(5):
            assert (
                client.post(quiet.url, content=json.dumps({**EVENT, "id": ""})).status_code == 415
            )
        # They were not answered because those that drip had been cut off: the last still drips.
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


def test_nothing_broke(quiet: Any) -> None:
    """Last in this file: the log of all that came before."""
    log = quiet.log.read_text()
    assert "Traceback" not in log
    assert '"level": "ERROR"' not in log
