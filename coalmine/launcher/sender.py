"""Sends what the outbox holds to one sink: in order per release, at least once, tried again.

A note is removed after the sink has answered, so one that is sent twice has the same ids. What is
kept in memory is one page of notes and the names of the releases that wait, however long a sink
is down.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus

import httpx

from coalmine._base.errors import CoalmineError
from coalmine.events.event import Event
from coalmine.events.send import encode_event
from coalmine.events.told import events_of
from coalmine.launcher.outbox import Entry, Outbox
from coalmine.launcher.sinks import Sink

__all__ = ["Sender", "Sent", "wait_after"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
FIRST_WAIT = 0.25
LONGEST_WAIT = 60.0
LONGEST_ASKED = 600.0
TIMEOUT = 10.0
AT_ONCE = 8
MOST_FAILING = 16
"""Releases in one round; with so many failures it is the sink that is down, not a release."""
REFUSALS = frozenset({400, 406, 410, 413, 415, 422})
"""A sink that answers so has the event, and will never take it: to send it again is no help."""


def wait_after(failures: int) -> float:
    """Give the seconds to wait after so many rounds in a row that failed (from 1 on)."""
    return float(min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT))


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of some notes of one release.

    Attributes:
        taken: The places of those that were taken, or will never be.
        events: The number of events that were taken.
        refused: The number of events that will never be.
        error: Why the next one was not taken; empty if all were.
        retry_after: Seconds that the sink asked to be left alone; 0 if it did not.
    """

    taken: tuple[int, ...] = ()
    events: int = 0
    refused: int = 0
    error: str = ""
    retry_after: float = 0.0


class Sender:
    """Sends to one sink, in a thread.

    Args:
        outbox: What there is to send.
        sink: Where to.
        on_sent: Told the sink's name, how many events were taken, refused, and tries that failed.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        on_sent: Callable[[str, int, int, int], None] = lambda *_: None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._sink = sink
        self._on_sent = on_sent
        self._monotonic = monotonic
        self._failures = 0
        self._not_before = 0.0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sender")
        self._thread = threading.Thread(target=self._loop, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way; the rest is sent at the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def wake(self) -> None:
        """Tell that there may be something to send."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                wait = self.round()
            except CoalmineError as error:
                logger.error(error.message, extra={"fix": error.fix})  # noqa: TRY400
                wait = IDLE_SECONDS
            except Exception:  # the thread must live on
                logger.exception("a round of sending to %s broke", self._sink.name)
                wait = IDLE_SECONDS
            # Until a sink that is down may be asked again, nothing that is new matters.
            (self._stop if self._failures else self._wake).wait(wait)

    def round(self) -> float:
        """Send what there is; gives the seconds until the next round is due."""
        if (left := self._not_before - self._monotonic()) > 0:
            return left
        with self._outbox.alone() as mine:
            failed = self._send_all() if mine else {}
        if not failed:
            self._failures = 0
            return IDLE_SECONDS
        self._failures += 1
        asked = max(one.retry_after for one in failed.values())
        wait = max(wait_after(self._failures), min(asked, LONGEST_ASKED))
        self._not_before = self._monotonic() + wait
        error = next(iter(failed.values())).error
        logger.warning(
            "%s has not taken events of %s releases: %s; tried again in %.1f s",
            self._sink.name,
            len(failed),
            error,
            wait,
            extra={"sink": self._sink.name},
        )
        return wait

    def _send_all(self) -> dict[str, Sent]:
        """Go through all notes once; gives the releases whose next event was not taken."""
        failed: dict[str, Sent] = {}
        after = 0
        while page := self._outbox.page(after):
            after = page[-1].seq
            for some in _groups(page, failed):
                failed |= self._send_some(some)
                if self._stop.is_set() or len(failed) >= MOST_FAILING:
                    return failed
        return failed

    def _send_some(self, groups: Sequence[Sequence[Entry]]) -> dict[str, Sent]:
        results = list(self._pool.map(self._send_group, groups))
        self._outbox.remove([seq for sent in results for seq in sent.taken])
        tries = sum(1 for sent in results if sent.error)
        events, refused = (sum(getattr(s, name) for s in results) for name in ("events", "refused"))
        self._on_sent(self._sink.name, events, refused, tries)
        pairs = zip(groups, results, strict=True)
        return {_release(group[0]): sent for group, sent in pairs if sent.error}

    def _send_group(self, entries: Iterable[Entry]) -> Sent:
        """Send what happened with one release, one thing after the other, until one fails."""
        sent = Sent()
        for entry in entries:
            for event in events_of(entry.happening):
                one = self._send(event)
                if one.error:
                    return replace(sent, error=one.error, retry_after=one.retry_after)
                sent = replace(
                    sent, events=sent.events + one.events, refused=sent.refused + one.refused
                )
            sent = replace(sent, taken=(*sent.taken, entry.seq))
        return sent

    def _send(self, event: Event) -> Sent:
        if self._stop.is_set():
            return Sent(error="the launcher stops")
        extended = replace(event, extensions={**event.extensions, **self._sink.extensions})
        message = encode_event(extended)
        try:
            answer = self._client.post(
                self._sink.url, content=message.body, headers=dict(message.headers)
            )
        except httpx.HTTPError as error:
            return Sent(error=f"{type(error).__name__}: {error}")
        if answer.is_success:
            return Sent(events=1)
        if answer.status_code in REFUSALS:
            logger.error(
                "%s refused the event %s with %s",
                self._sink.name,
                event.id,
                answer.status_code,
                extra={"sink": self._sink.name, "answer": answer.text[:200]},
            )
            return Sent(refused=1)
        busy = answer.status_code in {
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
        asked = _seconds(answer.headers.get("retry-after", "")) if busy else 0.0
        return Sent(error=f"it answered {answer.status_code}", retry_after=asked)


def _release(entry: Entry) -> str:
    return entry.happening.release_id


def _groups(page: Sequence[Entry], failed: Collection[str]) -> Iterator[list[list[Entry]]]:
    """Part a page by release, a few at once; those that failed before wait for the next round."""
    by_release: dict[str, list[Entry]] = {}
    for entry in page:
        if _release(entry) not in failed:
            by_release.setdefault(_release(entry), []).append(entry)
    whole = iter(by_release.values())
    while some := list(itertools.islice(whole, AT_ONCE)):
        yield some


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
