"""The requests to a sink that are under way, so that one without end can be cut off.

A limit on the wait for the next byte is none on the wait for the last: who sends a byte now and
then keeps a request for ever. And a thread that reads is not woken by a close of its socket, but by
a shutdown.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["Exchanges"]

CONNECTED = (".connect_tcp.complete", ".start_tls.complete")
"""How httpcore ends the names of what gives a connection."""


class Exchanges:
    """Knows the connections of a client, and since when each request is under way.

    Args:
        monotonic: Seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        self._sockets: set[socket.socket] = set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Make a request, the only one of this thread."""
        me = threading.get_ident()
        with self._lock:
            self._since[me] = self._monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._since[me]

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of a connection; this is httpx's extension ``trace`` of a request."""
        if event.endswith(CONNECTED):
            made: socket.socket = info["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets = {one for one in self._sockets if one.fileno() >= 0} | {made}

    def hang_up(self, after: float = 0.0) -> None:
        """Cut all connections, if a request has been under way for longer than some seconds."""
        with self._lock:
            begun = min(self._since.values(), default=None)
            if begun is None or self._monotonic() - begun < after:
                return
            for one in self._sockets:
                with contextlib.suppress(OSError):  # it is closed by now
                    socket.socket.shutdown(one, socket.SHUT_RDWR)
