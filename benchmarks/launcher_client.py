"""Sends events over so many connections for a time, and prints how it went as JSON.

An answer that waits here to be read counts as time, so the share of a processor that this process
took is told too: near 1 it is this client that was measured.

Called as: launcher_client.py URL CONNECTIONS SECONDS PREFIX
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

HEAD = (
    "POST /events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "ce-specversion: 1.0\r\nce-type: dev.coalmine.release.requested.v1\r\n"
    "ce-source: /bench\r\nce-id: {id}\r\nContent-Length: {length}\r\n\r\n"
)
BODIES = [
    json.dumps({"name": "iris", "version": "v1", "service": f"s{number}"}).encode()
    for number in range(100)
]


class Sender(asyncio.Protocol):
    """One connection: the next event leaves when the one before is answered."""

    def __init__(self, prefix: str, until: float, took: list[float], done: asyncio.Event) -> None:
        self._prefix = prefix
        self._until = until
        self._took = took
        self._done = done
        self._number = 0
        self._answer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):  # head and body come in pieces
            return
        now = time.perf_counter()
        if not self._answer.startswith(b"HTTP/1.1 202"):
            sys.exit(self._answer.decode())
        self._answer = b""
        self._took.append(now - self._sent)
        if now >= self._until:
            self._done.set()
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport
        self._number += 1
        name = f"{self._prefix}-{self._number}"
        body = BODIES[self._number % len(BODIES)]
        request = HEAD.format(id=name, length=len(body)).encode() + body
        self._sent = time.perf_counter()
        self._transport.write(request)


async def main(url: str, connections: int, seconds: float, prefix: str) -> None:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    took: list[float] = []
    begun, busy = time.perf_counter(), time.process_time()
    ends = [asyncio.Event() for _ in range(connections)]
    for number, end in enumerate(ends):
        await loop.create_connection(
            lambda number=number, end=end: Sender(  # type: ignore[misc]
                f"{prefix}-{number}", begun + seconds, took, end
            ),
            parts.hostname or "",
            parts.port or 0,
        )
    for end in ends:
        await end.wait()
    elapsed = time.perf_counter() - begun
    took.sort()
    found = {
        "accepted": len(took),
        "per_second": len(took) / elapsed,
        "client": (time.process_time() - busy) / elapsed,
        "p50": took[len(took) // 2],
        "p99": took[int(len(took) * 0.99)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
