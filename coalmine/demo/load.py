"""Users, simulated: a constant rate of requests, each counted by the revision that answered it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import httpx

__all__ = ["Answer", "Load", "Tally"]

REVISION_HEADER = "x-coalmine-revision"
TRANSPORT_ERROR = 0
"""The status that stands for a request without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        revision: Who answered; empty where nobody did, or the proxy itself.
        status: The HTTP status; 0 where no answer came.
    """

    revision: str
    status: int

    @property
    def failed(self) -> bool:
        """Tell whether the user got no good answer."""
        return not 200 <= self.status < 300  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Tally:
    """How many requests had which answer; a snapshot."""

    counts: Mapping[Answer, int] = field(default_factory=lambda: MappingProxyType({}))

    def sent(self, revision: str | None = None) -> int:
        """Count the requests that a revision answered; all of them without a name."""
        return sum(n for answer, n in self.counts.items() if revision in {None, answer.revision})

    def failed(self, revision: str | None = None) -> int:
        """Count the failed ones among them."""
        return sum(
            n
            for answer, n in self.counts.items()
            if answer.failed and revision in {None, answer.revision}
        )


class Load:
    """Sends requests to a service from the moment it first answers until it is told to stop.

    Use it as a context manager: leaving it waits for the requests under way.

    Args:
        url: Where to POST to.
        bodies: JSON bodies, sent in turn.
        rate: Requests a second, whether or not answers come (an open loop).
        connections: Keep-alive connections at most.
    """

    def __init__(
        self, url: str, bodies: tuple[Any, ...], *, rate: float, connections: int = 16
    ) -> None:
        self._url = url
        self._bodies = bodies
        self._rate = rate
        self._connections = connections
        self._counts: Counter[Answer] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def tally(self) -> Tally:
        """Count what has come back so far."""
        with self._lock:
            return Tally(MappingProxyType(dict(self._counts)))

    async def _run(self) -> None:
        limits = httpx.Limits(
            max_connections=self._connections, max_keepalive_connections=self._connections
        )
        async with httpx.AsyncClient(limits=limits, timeout=10, trust_env=False) as client:
            await self._until_it_answers(client)
            await self._keep_rate(client)

    async def _until_it_answers(self, client: httpx.AsyncClient) -> None:
        while not self._stop.is_set():
            answer = await self._ask(client, self._bodies[0])
            if answer.revision:
                self._count(answer)
                return
            await asyncio.sleep(0.1)

    async def _keep_rate(self, client: httpx.AsyncClient) -> None:
        start, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                due = int((time.monotonic() - start) * self._rate)
                for number in range(sent, due):
                    body = self._bodies[number % len(self._bodies)]
                    group.create_task(self._ask_and_count(client, body))
                sent = max(sent, due)
                await asyncio.sleep(0.5 / self._rate)

    async def _ask_and_count(self, client: httpx.AsyncClient, body: object) -> None:
        self._count(await self._ask(client, body))

    async def _ask(self, client: httpx.AsyncClient, body: object) -> Answer:
        try:
            response = await client.post(self._url, json=body)
        except httpx.HTTPError:
            return Answer("", TRANSPORT_ERROR)
        return Answer(response.headers.get(REVISION_HEADER, ""), response.status_code)

    def _count(self, answer: Answer) -> None:
        with self._lock:
            self._counts[answer] += 1
