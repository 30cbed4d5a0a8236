"""A sink for events: a real HTTP server that keeps what it is told, or fails as its test says."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["EventSink", "running_sink"]


class EventSink(ThreadingHTTPServer):
    """Keeps every event that it answered with 2xx, in order; ``answer`` decides about each.

    ``shown`` has the credential that came with each, ``tls`` makes it speak https.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.shown: list[str] = []
        self.taken: list[dict[str, Any]] = []
        self.tried: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], tuple[int, dict[str, str]]] = lambda _: (202, {})
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}/events"

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until events have arrived that make it true."""
        with self.arrived:
            assert self.arrived.wait_for(condition, 40), [one["type"] for one in self.taken]

    def types(self) -> list[str]:
        """The types of what was taken, the twice-sent told once."""
        return list({one["id"]: one["type"] for one in self.taken}.values())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EventSink

    def do_POST(self) -> None:
        """Take one event in structured mode."""
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"].startswith("application/cloudevents+json")
        event = json.loads(body)
        with self.server.arrived:
            status, headers = self.server.answer(event)
            self.server.tried.append(event)
            self.server.shown.append(self.headers.get("authorization", ""))
            if status < 300:
                self.server.taken.append(event)
            self.server.arrived.notify_all()
        self.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def running_sink(tls: ssl.SSLContext | None = None) -> Iterator[EventSink]:
    """Run a sink in a thread."""
    sink = EventSink(tls)
    thread = threading.Thread(target=sink.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield sink
    finally:
        sink.shutdown()
        thread.join()
        sink.server_close()
