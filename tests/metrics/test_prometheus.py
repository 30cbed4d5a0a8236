"""Every way a server can misbehave ends in one of the two errors of the protocol."""

from __future__ import annotations

import gzip
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from coalmine._base.errors import InputError
from coalmine.metrics.client import MOST_BYTES
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import BadQueryError, MetricsUnavailableError, Sample, Series

START = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class Reply:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    wait: float = 0.0
    drips: Iterator[bytes] = field(default_factory=lambda: iter(()))
    """Sent as they are, one every twentieth of a second, before anything else."""


class Server(ThreadingHTTPServer):
    reply: Reply
    asked: list[dict[str, list[str]]]
    hurry: threading.Event
    lock = threading.Lock()
    now = most = 0

    def handle_error(self, *_: object) -> None:
        """A client that gave up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        self.server.asked.append(parse_qs(urlsplit(self.path).query))
        reply = self.server.reply
        self.server.hurry.wait(reply.wait)
        # Whoever has the answer may ask again before this thread runs on.
        with self.server.lock:
            self.server.now -= 1
        self.answer(reply)

    def answer(self, reply: Reply) -> None:
        for drip in reply.drips:
            self.wfile.write(drip)
            if self.server.hurry.wait(0.05):
                return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    made.hurry = threading.Event()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.hurry.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[[Reply], tuple[Series, ...]]]:
    source = PrometheusSource(f"http://127.0.0.1:{server.server_port}/", timeout=0.5)

    def query(reply: Reply) -> tuple[Series, ...]:
        server.reply = reply
        end = START + timedelta(seconds=2)
        return source.query_range("up", start=START, end=end, step=timedelta(seconds=1))

    with source:
        yield query


def success(result: Any, **more: Any) -> Reply:
    data = {"resultType": "matrix", "result": result}
    return Reply(json.dumps({"status": "success", "data": data, **more}).encode())


def failure(kind: str, error: str, status: int) -> Reply:
    body = {"status": "error", "errorType": kind, "error": error}
    return Reply(json.dumps(body).encode(), status=status)


def test_series_come_sorted_with_their_numbers(ask: Any) -> None:
    values = [[1.5, "0.5"], [2.5, "NaN"], [3.5, "+Inf"], [4.5, "-Inf"]]
    reply = success(
        [{"metric": {"b": "1"}, "values": []}, {"metric": {"a": "2"}, "values": values}]
    )
    first, second = ask(reply)
    assert second == Series((("b", "1"),), ())
    assert first.labels == (("a", "2"),)
    assert first.samples[0] == Sample(1.5, 0.5)
    assert math.isnan(first.samples[1].value)
    assert [sample.value for sample in first.samples[2:]] == [math.inf, -math.inf]


def test_an_empty_answer_has_no_series(ask: Any) -> None:
    assert ask(success([])) == ()


def test_times_are_sent_exactly(ask: Any, server: Server) -> None:
    ask(success([]))
    sent = server.asked[0]
    assert sent["start"] == [f"{START.timestamp():.3f}"]
    assert sent["end"] == [f"{START.timestamp() + 2:.3f}"]
    assert sent["step"] == ["1.000"]


def test_warnings_are_logged(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    ask(success([], warnings=["half of it is missing"]))
    assert "half of it is missing" in caplog.text


HTML = {"content-type": "text/html"}
UNAVAILABLE = {
    "html on 200": (Reply(b"<html>sign in</html>", headers=HTML), "not JSON"),
    "html on 502": (Reply(b"<html>bad gateway", status=502, headers=HTML), "HTTP status 502"),
    "error on 200": (failure("execution", "too slow", 200), "too slow"),
    "429": (failure("too_many", "slow down", 429), "slow down"),
    "503": (failure("timeout", "query timed out", 503), "query timed out"),
    "422": (failure("execution", "many-to-many matching", 422), "many-to-many"),
    "empty": (Reply(b""), "not JSON"),
    "list": (Reply(b"[]"), "not a JSON object"),
    "no status": (Reply(b"{}"), "could not answer"),
    "no data": (Reply(b'{"status":"success"}'), "without a result"),
    "no result": (Reply(b'{"status":"success","data":{}}'), "without a result"),
    "scalar result": (success([1, "2"]), "no matrix"),
    "no number": (success([{"metric": {}, "values": [[1, "x"]]}]), "no matrix"),
    "no string": (success([{"metric": {}, "values": [[1, 2]]}]), "no matrix"),
    "null": (success(None), "without a result"),
    "redirect": (Reply(b"", 302, {"location": "http://127.0.0.1:9/login"}), "redirects to"),
    "404": (Reply(b"404 page not found", 404, {"content-type": "text/plain"}), "status 404"),
    "slow": (Reply(b"{}", wait=30.0), "no answer in time"),
    "cut off": (Reply(b"{}", headers={"content-encoding": "gzip"}), "cannot be decoded"),
    "nested": (Reply(b"[" * 200_000), "not JSON"),
    "no text": (Reply(b"\xff\xfe"), "not JSON"),
    "huge number": (success([{"metric": {}, "values": [[10**400, "1"]]}]), "no matrix"),
}


@pytest.mark.parametrize("case", UNAVAILABLE)
def test_what_is_no_proper_answer_is_unavailable(ask: Any, server: Server, case: str) -> None:
    reply, words = UNAVAILABLE[case]
    began = time.monotonic()
    with pytest.raises(MetricsUnavailableError, match=words) as caught:
        ask(reply)
    assert caught.value.fix
    assert len(server.asked) == 1, "it is for the gate to ask again"
    assert time.monotonic() - began < 1.5


def body_in_drips() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{"
    yield from repeat(b" ")


def headers_in_drips() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from repeat(b"x-drip: drop\r\n")


@pytest.mark.parametrize("drips", [body_in_drips, headers_in_drips])
def test_an_answer_that_drips_is_too_late_as_a_whole(
    ask: Any, drips: Callable[[], Iterator[bytes]]
) -> None:
    began = time.monotonic()
    with pytest.raises(MetricsUnavailableError, match="no answer in time"):
        ask(Reply(b"", drips=drips()))
    assert 0.4 < time.monotonic() - began < 1.5


def test_of_a_huge_body_only_so_much_is_read(server: Server) -> None:
    def ask(reply: Reply) -> None:
        server.reply = reply
        with PrometheusSource(f"http://127.0.0.1:{server.server_port}", timeout=30) as source:
            source.query_range("up", start=START, end=START, step=timedelta(seconds=1))

    def flood() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
        yield b" " * (MOST_BYTES + 1)

    with pytest.raises(MetricsUnavailableError, match=f"more than {MOST_BYTES} bytes"):
        ask(Reply(b"", drips=flood()))
    bomb = gzip.compress(b" " * (MOST_BYTES + 1), compresslevel=1)
    with pytest.raises(MetricsUnavailableError, match=f"more than {MOST_BYTES} bytes"):
        ask(Reply(bomb, headers={"content-encoding": "gzip"}))


def test_one_that_is_back_again_is_asked_again(ask: Any) -> None:
    for reply in (Reply(b"", status=503), Reply(b"", drips=iter([b"garbage\r\n\r\n"]))):
        with pytest.raises(MetricsUnavailableError):
            ask(reply)
        assert ask(success([])) == ()


def test_only_so_many_queries_are_under_way_at_once(server: Server) -> None:
    server.reply = success([])
    server.reply.wait = 0.2
    with (
        PrometheusSource(f"http://127.0.0.1:{server.server_port}", connections=3) as source,
        ThreadPoolExecutor(12) as threads,
    ):
        ask = partial(source.query_range, "up", start=START, end=START, step=timedelta(seconds=1))
        assert {future.result() for future in [threads.submit(ask) for _ in range(12)]} == {()}
    assert server.most == 3


def test_a_query_that_does_not_parse_is_wrong_input(ask: Any) -> None:
    with pytest.raises(BadQueryError, match="parse error") as caught:
        ask(failure("bad_data", 'invalid parameter "query": parse error', 400))
    assert caught.value.exit_code == 2


def test_native_histograms_are_no_numbers(ask: Any) -> None:
    with pytest.raises(BadQueryError, match="native histograms"):
        ask(success([{"metric": {}, "histograms": [[1, {"count": "1", "sum": "1"}]]}]))


def test_nobody_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with (
            PrometheusSource(f"http://127.0.0.1:{port}") as source,
            pytest.raises(MetricsUnavailableError, match="the connection failed"),
        ):
            source.query_range("up", start=START, end=START, step=timedelta(seconds=1))


def test_a_password_in_the_url_is_not_told() -> None:
    with (
        PrometheusSource("http://user:secret@127.0.0.1:1") as source,
        pytest.raises(MetricsUnavailableError) as caught,
    ):
        source.query_range("up", start=START, end=START, step=timedelta(seconds=1))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:9090", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_url_is_wrong_input(url: str) -> None:
    with pytest.raises(InputError, match="prometheus_url"):
        PrometheusSource(url)
