"""Sinks that answer without end, or not at all: they cost no memory, and hold nothing up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine.events import new_event
from coalmine.launcher import sender
from coalmine.launcher.ledger import ledger_url
from coalmine.launcher.post import Post, Said
from coalmine.launcher.sinks import Sink
from tests.launcher.bench import Bench, new

EVENT = new_event(data={"a": 1}, source="/s")
HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "mute": (b"", b""),
    "drips its head": (HEAD, b"x: y\r\n"),
    "drips its body": (BODY, b"1\r\nx\r\n"),
}


class OddSink:
    """Says something once, and then something again and again, with a pause if there is one."""

    def __init__(self, first: bytes, again: bytes, pause: float) -> None:
        self._said = (first, again, pause)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.asked = threading.Event()
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        first, again, pause = self._said
        while True:
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(65536)
                    self.asked.set()
                    connection.sendall(first)
                    while not self.over.wait(pause):
                        connection.sendall(again)
            if self.over.is_set():
                return

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):  # so that it accepts no more
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@contextlib.contextmanager
def odd_sink(first: bytes, again: bytes, pause: float = 0.05) -> Iterator[OddSink]:
    made = OddSink(first, again, pause)
    try:
        yield made
    finally:
        made.close()


def posting(post: Post) -> tuple[threading.Thread, list[Said]]:
    said: list[Said] = []
    thread = threading.Thread(target=lambda: said.append(post.post(EVENT)))
    thread.start()
    return thread, said


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_end_is_cut_off(kind: str) -> None:
    with odd_sink(*ENDLESS[kind]) as sink, contextlib.closing(Post(Sink(sink.url))) as post:
        thread, said = posting(post)
        assert sink.asked.wait(10)
        post.hang_up(after=60.0)
        assert not said
        while thread.is_alive():
            post.hang_up()
            thread.join(0.05)
    # By its status it was taken; what it says besides does not matter.
    assert bool(said[0].error) == (kind != "drips its body")


def test_what_a_sink_says_without_end_is_not_read() -> None:
    chunk = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
    with odd_sink(BODY, chunk, 0.0) as sink, contextlib.closing(Post(Sink(sink.url))) as post:
        thread, said = posting(post)
        thread.join(30)
        assert said == [Said()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    with odd_sink(*ENDLESS["drips its head"]) as sink:
        made: Any = Bench(ledger_url(tmp_path), sink)
        made.ledger.accept([[new("r1")]])
        made.asked = sink.asked
        yield made
        made.close()


def test_a_round_ends_whatever_the_sink_does(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LONGEST_SECONDS", 0.1)
    bench.sender.round()
    assert bench.sent == [(0, 0, 1)]
    assert bench.depth() == 1


def test_the_end_waits_for_no_sink(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "STOP_SECONDS", 0.0)
    bench.sender.start()
    assert bench.asked.wait(10)
    bench.sender.stop()
    assert bench.depth() == 1
