"""Sends what the outbox holds to one sink: in order per release, at least once, tried again.

A note is removed after the sink has answered, so one that is sent twice has the same ids. What is
kept in memory is one page of notes and the ids of the releases that failed, however long a sink
is down.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from coalmine._base.errors import CoalmineError
from coalmine.events.told import events_of
from coalmine.launcher.outbox import Entry, Outbox
from coalmine.launcher.post import LONGEST_SECONDS, Post
from coalmine.launcher.sinks import Sink
from coalmine.launcher.stuck import Stuck
from coalmine.launcher.tables import moment_text

__all__ = ["TELL_SECONDS", "Sender"]

logger = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
AT_ONCE = 8
LOOK_SECONDS = 1.0
"""How often it is seen to that no event takes too long."""
STOP_SECONDS = 2.0
"""For what is under way when all ends; then it is cut off, and sent again at the next start."""
TELL_SECONDS = 3 * 86400.0
"""What is older than this when a sink does not take it, it is offered no more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of some notes of one release.

    Attributes:
        taken: The places of those that were taken, or will never be.
        events: The number of events that were taken.
        refused: The number of events that will never be.
        failed: The next one, which was not taken; None if all were.
        error: Why it was not.
        retry_after: Seconds that the sink asked to be left alone; 0 if it did not.
    """

    taken: tuple[int, ...] = ()
    events: int = 0
    refused: int = 0
    failed: Entry | None = None
    error: str = ""
    retry_after: float = 0.0


class Sender:
    """Sends to one sink, in a thread.

    Args:
        outbox: What there is to send.
        sink: Where to.
        on_sent: Told the sink's name, how many events were taken, refused, and tries that failed.
        tell_for: Seconds; what is older when it is not taken is put aside.
        monotonic: Seconds that only grow.
        clock: The time, UTC.
    """

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        on_sent: Callable[[str, int, int, int], None] = lambda *_: None,
        *,
        tell_for: float = TELL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._sink = sink
        self._on_sent = on_sent
        self._tell_for = timedelta(seconds=tell_for)
        self._clock = clock
        self._stuck = Stuck(monotonic)
        self._end_by = math.inf
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._post = Post(sink)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sender")
        self._thread = threading.Thread(target=self._loop, name="sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Send nothing more than what is under way."""
        self._end_by = min(self._end_by, time.monotonic() + STOP_SECONDS)
        self._stop.set()
        self._wake.set()

    def stop(self) -> None:
        """End after what is under way, if that is soon; the rest is sent at the next start."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(max(0.0, self._end_by - time.monotonic()))
        while self._thread.is_alive():
            self._post.hang_up()
            self._thread.join(0.1)
        self._pool.shutdown(cancel_futures=True)
        self._post.close()

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
            (self._stop if self._stuck.rest else self._wake).wait(wait)

    def round(self) -> float:
        """Send what there is; gives the seconds until the next round is due."""
        if rest := self._stuck.rest:
            return rest
        with self._outbox.alone() as mine:
            results = self._send_all() if mine else []
        failed = [sent for sent in results if sent.failed]
        # A sink that takes others' events means this release alone when it asks to be left alone.
        alone = not any(sent.taken for sent in results)
        asked = max((sent.retry_after for sent in failed), default=0.0) if alone else 0.0
        wait = self._stuck.after_round(asked, IDLE_SECONDS)
        if failed:
            logger.warning(
                "%s has not taken events of %s releases: %s; tried again in %.1f s",
                self._sink.name,
                len(failed),
                failed[0].error,
                wait,
                extra={"sink": self._sink.name},
            )
        return wait

    def _send_all(self) -> list[Sent]:
        """Go through all notes once; once more if it turns out that the sink is up again."""
        was_down = self._stuck.down
        results = self._go_through()
        if was_down and not self._stuck.down:
            results += self._go_through()
        return results

    def _go_through(self) -> list[Sent]:
        results: list[Sent] = []
        left_out: set[str] = set()
        after = 0
        while page := self._outbox.page(after):
            after = page[-1].seq
            for some in _groups(page, self._stuck, left_out):
                sent = self._send_some(some)
                results += sent
                left_out.update(_release(one.failed) for one in sent if one.failed)
                if self._stop.is_set() or self._stuck.down:
                    return results
        self._stuck.all_seen()
        return results

    def _send_some(self, groups: Sequence[Sequence[Entry]]) -> list[Sent]:
        under_way = [self._pool.submit(self._send_group, group) for group in groups]
        while wait(under_way, LOOK_SECONDS).not_done:
            self._post.hang_up(LONGEST_SECONDS)
        results = [one.result() for one in under_way]
        self._outbox.remove([seq for sent in results for seq in sent.taken])
        tries = sum(1 for sent in results if sent.failed)
        events, refused = (sum(getattr(s, name) for s in results) for name in ("events", "refused"))
        self._on_sent(self._sink.name, events, refused, tries)
        if not self._stop.is_set():
            for group, sent in zip(groups, results, strict=True):
                self._note(_release(group[0]), sent)
        return results

    def _note(self, release_id: str, sent: Sent) -> None:
        if sent.taken:
            self._stuck.took(release_id)
        if sent.failed is None:
            return
        self._stuck.failed(release_id)
        before = str(moment_text(self._clock() - self._tell_for))
        if sent.failed.happening.at < before:
            of = "" if self._stuck.down else release_id
            buried = self._outbox.bury(before, sent.error, of)
            logger.error(
                "%s has not taken %s events for %s: they are put aside",
                self._sink.name,
                buried,
                self._tell_for,
                extra={"sink": self._sink.name, "release_id": release_id},
            )

    def _send_group(self, entries: Iterable[Entry]) -> Sent:
        """Send what happened with one release, one thing after the other, until one fails."""
        sent = Sent()
        for entry in entries:
            for event in events_of(entry.happening):
                if self._stop.is_set():
                    return replace(sent, failed=entry, error="the launcher stops")
                said = self._post.post(event)
                if said.error:
                    wait = said.retry_after
                    return replace(sent, failed=entry, error=said.error, retry_after=wait)
                kept = "refused" if said.refused else "events"
                sent = replace(sent, **{kept: getattr(sent, kept) + 1})
            sent = replace(sent, taken=(*sent.taken, entry.seq))
        return sent


def _release(entry: Entry) -> str:
    return entry.happening.release_id


def _groups(page: Sequence[Entry], stuck: Stuck, left_out: set[str]) -> Iterator[list[list[Entry]]]:
    """Part a page by release, a few at once, those first that have not failed.

    A release that failed or was left out stays out of the pages that follow, for they have its
    later notes: when it may be tried again, it begins with its first.
    """
    by_release: dict[str, list[Entry]] = {}
    for entry in page:
        by_release.setdefault(_release(entry), []).append(entry)

    def may(name: str) -> bool:
        if name not in left_out and stuck.may_try(name):
            return True
        left_out.add(name)
        return False

    # Asked late: what became of the first tells of the others.
    names = sorted(by_release, key=lambda name: stuck.failures(name) > 0)
    whole = (by_release[name] for name in names if may(name))
    while some := list(itertools.islice(whole, AT_ONCE)):
        yield some
