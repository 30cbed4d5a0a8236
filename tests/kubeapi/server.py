"""The server, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from tests.kubeapi.app import App
from tests.kubeapi.faults import Faults
from tests.kubeapi.store import Store

__all__ = ["KubeApi", "serve"]


class KubeApi:
    """A running server.

    Attributes:
        url: Where it listens.
        store: Its objects.
        faults: What it does wrong.
        app: Its HTTP, with pod logs, the requests so far, and the token it asks for.
    """

    def __init__(self, url: str, app: App) -> None:
        self.url = url
        self.app = app
        self.store: Store = app.store
        self.faults: Faults = app.faults

    def kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig that leads here."""
        user = {"token": self.app.token} if self.app.token else {}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        text: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": context}],
        }
        path.write_text(yaml.safe_dump(text))
        return path

    def said(self, method: str, part: str = "") -> list[tuple[str, Any]]:
        """The path and body of each request with a method whose path has a part."""
        return [
            (path, body)
            for verb, path, body in self.app.requests
            if verb == method and part in path
        ]


class _Server(uvicorn.Server):
    started_event: threading.Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_event.set()


@contextmanager
def serve() -> Iterator[KubeApi]:
    """Run a server on a free port of 127.0.0.1."""
    app = App(Store(), Faults())
    # asyncio sends at once (TCP_NODELAY) only on a socket that says its protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    server.started_event = threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve([listener])), daemon=True
    )
    app.store.subscribe(lambda _: loop.call_soon_threadsafe(app.watches.wake))
    thread.start()
    if not server.started_event.wait(10):
        raise RuntimeError("the test's API server did not start")
    try:
        yield KubeApi(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
    finally:
        loop.call_soon_threadsafe(app.watches.closing.set)
        loop.call_soon_threadsafe(app.watches.wake)
        server.should_exit = True
        thread.join(10)
        loop.close()
        listener.close()
