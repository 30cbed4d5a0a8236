"""A stand-in for a model server: ``fake_server.py FOLDER PORT``; the folder's file says how it is.

``/seen`` tells what it was asked.
Like uvicorn it speaks HTTP/1.1 with keep-alive and closes a connection that is idle for 5 s.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = json.loads((Path(sys.argv[1]) / "model.json").read_text())


SEEN: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._answer(503 if MODEL["kind"] == "never" else 200)
        elif self.path == "/seen":
            self._answer(200)
        elif self.path.startswith("/slow"):
            time.sleep(0.5)
            self._answer(200)
        else:
            self._answer(500 if MODEL["kind"] == "bad" else 200)

    do_POST = do_GET  # noqa: N815 - as the library calls it

    def _answer(self, status: int) -> None:
        if self.path in {"/readyz", "/seen"}:
            body = json.dumps(SEEN).encode()
        else:
            SEEN.append(f"{self.command} {self.path}")
            body = json.dumps({"version": MODEL["version"], "path": self.path}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        return

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    if MODEL["kind"] == "crash":
        print("ImportError: the model cannot be loaded", flush=True)
        sys.exit(3)
    if MODEL["kind"] == "late":
        time.sleep(2.0)
    Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
