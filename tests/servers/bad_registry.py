"""A real HTTP server that behaves like a registry until it is told to misbehave."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Misbehaviour = Callable[["Exchange"], bool]
"""Answers a request in its own way and says so by True."""


class BadRegistry:
    """A registry in memory.

    Attributes:
        blobs: What it holds, by digest.
        seen: Every request: method, path, headers.
        misbehave: Asked first, at every request.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.misbehave: Misbehaviour = lambda exchange: False
        self.lock = threading.Lock()
        self.host = ""

    def requests(self, method: str) -> list[str]:
        return [path for seen, path, _ in self.seen if seen == method]

    def add(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    registry: BadRegistry

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass

    @property
    def length(self) -> int:
        return int(self.headers.get("Content-Length", "0"))

    def body(self, at_most: int | None = None) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self._chunks(at_most))
        return self.rfile.read(self.length if at_most is None else min(at_most, self.length))

    def _chunks(self, at_most: int | None) -> Iterator[bytes]:
        got = 0
        while (at_most is None or got < at_most) and (size := int(self.rfile.readline(), 16)):
            got += size
            yield self.rfile.read(size)
            self.rfile.readline()
        if at_most is None:
            self.rfile.readline()

    def answer(self, status: int, content: bytes = b"", **headers: str) -> bool:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return True

    def drop(self) -> bool:
        """Close the connection without an answer."""
        self.close_connection = True
        return True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - as http.server calls them

    def _serve(self) -> None:
        with self.registry.lock:
            self.registry.seen.append((self.command, self.path, dict(self.headers)))
            if not self.registry.misbehave(self):
                self._behave()

    def _behave(self) -> None:
        path = urlsplit(self.path).path
        if "/blobs/uploads/" in path:
            self._upload(path)
        elif "/blobs/" in path:
            self._blob(path.rpartition("/")[2])
        else:
            self._manifest(path.rpartition("/")[2])

    def _blob(self, digest: str) -> None:
        content = self.registry.blobs.get(digest)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if content is None:
            self.answer(404)
        elif asked:
            self.answer(206, content[int(asked.group(1)) :])
        else:
            self.answer(200, content)

    def _upload(self, path: str) -> None:
        uploads = self.registry.uploads
        name = path.rpartition("/")[2]
        mount = parse_qs(urlsplit(self.path).query).get("mount", [""])[0]
        if self.command == "POST" and mount in self.registry.blobs:
            self.answer(201)
        elif self.command == "POST":
            uploads[str(len(uploads))] = b""
            self.answer(202, Location=f"{path}{len(uploads) - 1}?state=x")
        elif self.command == "GET":
            self._progress(204, path, name)
        elif self.command == "DELETE":
            self.answer(204 if uploads.pop(name, None) is not None else 404)
        elif self.command == "PATCH":
            uploads[name] += self.body()
            self._progress(202, path, name)
        else:
            self._finish(uploads[name] + self.body())

    def _progress(self, status: int, path: str, name: str) -> None:
        got = len(self.registry.uploads[name])
        self.answer(status, Location=f"{path}?state={got}", Range=f"0-{max(0, got - 1)}")

    def _finish(self, content: bytes) -> None:
        digest = parse_qs(urlsplit(self.path).query)["digest"][0]
        if self.registry.add(content) != digest:
            self.answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
        else:
            self.answer(201, Docker_Content_Digest=digest)

    def _manifest(self, name: str) -> None:
        if self.command == "PUT":
            content = self.body()
            self.registry.manifests[name] = content, self.headers["Content-Type"]
            self.answer(201)
        elif name in self.registry.manifests:
            content, media_type = self.registry.manifests[name]
            self.answer(200, content, Content_Type=media_type)
        else:
            self.answer(404)


@contextmanager
def bad_registry() -> Iterator[BadRegistry]:
    """Run one until the end of the block."""
    registry = BadRegistry()
    handler = type("Handler", (Exchange,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
