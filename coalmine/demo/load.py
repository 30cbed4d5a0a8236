"""Users, simulated: a constant rate of requests, each counted by the revision that answered it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import httpx

from coalmine.stack.routes import REVISION_HEADER

__all__ = ["Answer", "Load", "Tally"]

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
        bodies: JSON bodies, one a user in turn.
        rate: Requests a second, as long as the service is quick enough: each of the users waits
            for an answer before the next request, so a slow service is not buried under a backlog.
        users: How many call at the same time, each on a keep-alive connection of its own.
    """

    def __init__(self, url: str, bodies: tuple[Any, ...], *, rate: float, users: int = 16) -> None:
        self._url = url
        self._bodies = bodies
        self._rate = rate
        self._users = users
        self._counts: Counter[Answer] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load")
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        self._running = self._thread.submit(lambda: asyncio.run(self._run()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.shutdown()
        if self._running:
            self._running.result()

    def tally(self) -> Tally:
        """Count what has come back so far."""
        if self._running and self._running.done():
            self._running.result()
        with self._lock:
            return Tally(MappingProxyType(dict(self._counts)))

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self._users, max_keepalive_connections=self._users)
        async with httpx.AsyncClient(limits=limits, timeout=10, trust_env=False) as client:
            await self._until_it_answers(client)
            async with asyncio.TaskGroup() as group:
                for number in range(self._users):
                    group.create_task(self._call_again_and_again(client, number))

    async def _until_it_answers(self, client: httpx.AsyncClient) -> None:
        while not self._stop.is_set():
            answer = await self._ask(client, self._bodies[0])
            if answer.revision:
                self._count(answer)
                return
            await asyncio.sleep(0.1)

    async def _call_again_and_again(self, client: httpx.AsyncClient, number: int) -> None:
        pause, body = self._users / self._rate, self._bodies[number % len(self._bodies)]
        due = time.monotonic() + pause * number / self._users
        while not self._stop.is_set():
            await asyncio.sleep(due - time.monotonic())
            self._count(await self._ask(client, body))
            due = max(due + pause, time.monotonic())

    async def _ask(self, client: httpx.AsyncClient, body: object) -> Answer:
        try:
            response = await client.post(self._url, json=body)
        except httpx.HTTPError:
            return Answer("", TRANSPORT_ERROR)
        return Answer(response.headers.get(REVISION_HEADER, ""), response.status_code)

    def _count(self, answer: Answer) -> None:
        with self._lock:
            self._counts[answer] += 1
