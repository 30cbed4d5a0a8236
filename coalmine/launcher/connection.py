"""HTTP connections with limits: on the time and the size of a request's head, and on their number.

Uvicorn limits none of these with its quick parser. A body's limits are the receiver's.
"""

from __future__ import annotations

import asyncio
import json
import resource
from http import HTTPStatus
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MAX_HEAD_BYTES", "SHORT_HEAD", "LimitedProtocol", "protocol_for", "raise_file_limit"]

HEAD_SECONDS = 10.0
LINGER_SECONDS = 2.0
"""How long a client may go on sending a body that was answered already; cut off at once, it would
not get to read the answer."""
MAX_HEAD_BYTES = 32 << 10
SHORT_HEAD = "coalmine.short_head"
"""Is in the scope of a request whose head is seen not to be too long without adding it up."""
MAX_CONNECTIONS = 4000
FILES = MAX_CONNECTIONS + 1000


def raise_file_limit() -> None:
    """Allow this process as many open files as its connections may need, if it may say so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def protocol_for(processes: int) -> type[LimitedProtocol]:
    """Give the protocol for one of so many processes, among which the connections are parted."""
    most = -(-MAX_CONNECTIONS // processes)
    return type("PartedProtocol", (LimitedProtocol,), {"most": most})


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    most = MAX_CONNECTIONS
    """Connections that this process may have."""
    _head_bytes = 0
    _piece = 0
    _received = 0
    _in_head = True
    _in_body = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._give(HEAD_SECONDS)
        if len(self.connections) > self.most:
            self._refuse(503, "there are too many connections", "connect again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is too long or too slow ends the connection."""
        self._piece = len(data)
        self._received += self._piece
        if self._in_head:
            self._head_bytes += self._piece
        super().data_received(data)
        if not (self._in_head and self._head_bytes):
            return
        if self._deadline is None:  # most heads come whole, and need no clock
            self._give(HEAD_SECONDS)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"the head has more than {MAX_HEAD_BYTES} bytes", "send less of it")

    def on_headers_complete(self) -> None:
        """Take the head."""
        self._in_head, self._in_body = False, True
        if self._received <= MAX_HEAD_BYTES:
            cast("dict[str, object]", self.scope)[SHORT_HEAD] = True
        self._received = self._piece  # of which the next head may have a part
        self._head_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Take the end of a body."""
        self._in_head, self._in_body = True, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Be ready for the next request, but do not wait for the rest of this one for long."""
        super().on_response_complete()
        if self._in_body:
            self._give(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, msg.rstrip("."), "send HTTP/1.1")

    def _give(self, seconds: float) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_is_up(self) -> None:
        self._deadline = None
        if self._in_head and self._head_bytes:
            limit = f"the head did not arrive within {HEAD_SECONDS:.0f} seconds"
            self._refuse(408, limit, "send it in one go")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, detail: str, fix: str) -> None:
        if self.transport.is_closing():
            return
        phrase = HTTPStatus(status).phrase
        content = {"title": phrase, "status": status, "detail": detail, "fix": fix}
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
