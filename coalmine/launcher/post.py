"""Posts one event to one sink, and says what it came to."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass, replace
from http import HTTPStatus

import httpx

from coalmine.events.event import Event
from coalmine.events.send import Message, encode_event
from coalmine.launcher.exchanges import Exchanges
from coalmine.launcher.sinks import Sink, trust

__all__ = ["LONGEST_SECONDS", "Post", "Said"]

logger = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
LONGEST_SECONDS = 20.0
"""For one event, however the sink goes about its answer."""
MOST_BYTES = 1 << 16
"""Read of what a sink says; one that says more has its connection closed."""
REFUSALS = frozenset({400, 406, 410, 413, 415, 422})
"""A sink that answers so has the event, and will never take it: to send it again is no help."""
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Said:
    """What a sink said to an event; nothing but good unless told.

    Attributes:
        refused: Whether it will never take it.
        error: Why it has not taken it now; empty if it has, or never will.
        retry_after: Seconds that it asked to be left alone; 0 if it did not.
    """

    refused: bool = False
    error: str = ""
    retry_after: float = 0.0


class Post:
    """Connections to a sink.

    Args:
        sink: The sink.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._authorities = sink.authorities()
        self._client = _client(self._authorities)
        self._left: list[httpx.Client] = []
        self._exchanges = Exchanges()

    def close(self) -> None:
        """Let go of the connections."""
        for one in (self._client, *self._left):
            one.close()

    def hang_up(self, after: float = 0.0) -> None:
        """Cut off what is under way, if any of it has been for longer than some seconds."""
        self._exchanges.hang_up(after)

    def post(self, event: Event) -> Said:
        """Send an event, and wait for the answer."""
        extended = replace(event, extensions={**event.extensions, **self._sink.extensions})
        message = encode_event(extended)
        try:
            answer, text = self._ask(message)
        except httpx.HTTPError as error:
            return Said(error=f"{type(error).__name__}: {error}")
        if answer.is_success:
            return Said()
        if answer.status_code in REFUSALS:
            logger.error(
                "%s refused the event %s with %s",
                self._sink.name,
                event.id,
                answer.status_code,
                extra={"sink": self._sink.name, "answer": text},
            )
            return Said(refused=True)
        asked = _seconds(answer.headers.get("retry-after", ""))
        wait = asked if answer.status_code in BUSY else 0.0
        return Said(error=f"it answered {answer.status_code}", retry_after=wait)

    def _ask(self, message: Message) -> tuple[httpx.Response, str]:
        """Send a message; gives the answer, and how its text begins."""
        token = self._sink.token()
        shown = {"authorization": f"Bearer {token}"} if token else {}
        headers = {**message.headers, "accept-encoding": "identity", **shown}
        traced = {"trace": self._exchanges.trace}
        asked = self._current().stream(
            "POST", self._sink.url, content=message.body, headers=headers, extensions=traced
        )
        with self._exchanges.one(), asked as answer:
            return answer, _beginning(answer)

    def _current(self) -> httpx.Client:
        """Give connections that trust whom the sink's file names now."""
        authorities = self._sink.authorities()
        with self._lock:
            if authorities != self._authorities:
                self._left.append(self._client)  # others may be in the middle of a request
                self._client = _client(authorities)
                self._authorities = authorities
            return self._client


def _client(authorities: str) -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT, follow_redirects=False, verify=trust(authorities))


def _beginning(answer: httpx.Response) -> str:
    """Read an answer, as far as it is no longer than it may be; its status says enough already."""
    found = b""
    with contextlib.suppress(httpx.HTTPError):
        for part in answer.iter_raw():
            found += part
            if len(found) >= MOST_BYTES:
                break
    return found[:200].decode("utf-8", "replace")


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
