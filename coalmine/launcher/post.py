"""Posts one event to one sink, and says what it came to."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from http import HTTPStatus

import httpx

from coalmine.events.event import Event
from coalmine.events.send import encode_event
from coalmine.launcher.sinks import Sink, trust

__all__ = ["Post", "Said"]

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
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

    def close(self) -> None:
        """Let go of the connections."""
        for one in (self._client, *self._left):
            one.close()

    def post(self, event: Event) -> Said:
        """Send an event, and wait for the answer."""
        extended = replace(event, extensions={**event.extensions, **self._sink.extensions})
        message = encode_event(extended)
        token = self._sink.token()
        shown = {"authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._current().post(
                self._sink.url, content=message.body, headers={**message.headers, **shown}
            )
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
                extra={"sink": self._sink.name, "answer": answer.text[:200]},
            )
            return Said(refused=True)
        asked = _seconds(answer.headers.get("retry-after", ""))
        wait = asked if answer.status_code in BUSY else 0.0
        return Said(error=f"it answered {answer.status_code}", retry_after=wait)

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


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
