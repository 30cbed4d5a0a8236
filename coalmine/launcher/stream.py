"""What a release's steps write, while they write it: server-sent events that can be resumed.

https://html.spec.whatwg.org/multipage/server-sent-events.html. Every event's id says how much of
each step's log has been sent, so that a client that comes back with ``Last-Event-ID`` misses
nothing and gets nothing twice.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.read import select_release

__all__ = ["LONGEST", "Logs", "Position", "Writing", "parse_position", "whole_lines"]

POLL_SECONDS = 0.5
QUIET_SECONDS = 15.0
AGAIN_SECONDS = 5.0
"""Until a log that was not to be had is asked for once more."""
MOST_STREAMS = 200
MOST_BYTES = 4096
LONGEST = 1 << 16
"""Bytes of a line that is sent before it has come to its end."""
OPEN = frozenset({"accepted", "running"})
ENDED = frozenset({"succeeded", "failed", "skipped", "cancelled"})


@dataclass(slots=True)
class Position:
    """How far a client has read.

    Attributes:
        offsets: The bytes of each step's log that were sent.
        told: What was last said of each step and, under the empty name, of the release.
        whole: The steps that have ended and whose log was read to its end.
        again: When a log that was not to be had is asked for again; seconds that only grow.
    """

    offsets: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    again: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """Write the offsets as the id of an event."""
        return json.dumps(self.offsets, separators=(",", ":"))


def parse_position(text: str) -> Position:
    """Read a position from ``Last-Event-ID``; an empty one is the beginning.

    Raises:
        InputError: It is none that was sent.
    """
    try:
        offsets = json.loads(text) if text and len(text) <= MOST_BYTES else {}
        good = isinstance(offsets, dict) and len(text) <= MOST_BYTES
        good = good and all(type(n) is int and 0 <= n < 1 << 53 for n in offsets.values())
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise InputError(
            "it is no id of an event of this stream",
            field="Last-Event-ID",
            fix="send the last id as it came, or none for everything",
        )
    return Position(offsets)


class Writing(Protocol):
    """Where steps write: an engine, as far as it matters here."""

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give what a task has written; see `coalmine.engines.protocol.Engine`."""


class Logs:
    """Streams logs.

    Args:
        ledger: Where releases stand.
        engines: Where their steps write.
    """

    def __init__(self, ledger: Ledger, engines: Mapping[str, Writing]) -> None:
        self._ledger = ledger
        self._engines = engines
        self._streams = 0
        self._stopping = False

    def stop(self) -> None:
        """End all streams soon, as if the connection had broken."""
        self._stopping = True

    def find(self, release_id: str) -> dict[str, Any] | None:
        """Read a release; None if there is none of this id."""
        with self._ledger.connect() as connection:
            return select_release(connection, release_id)

    @property
    def full(self) -> bool:
        """Tell whether there are as many streams as there may be."""
        return self._streams >= MOST_STREAMS

    async def stream(
        self, release_id: str, position: Position, *, step: str = "", follow: bool = True
    ) -> AsyncIterator[str]:
        """Give the events, until the release has ended and everything was said.

        Args:
            release_id: A release that there is.
            position: How far the client has read; moved on.
            step: Only the log of this step; empty for all.
            follow: Go on while the release does.
        """
        self._streams += 1
        quiet = 0.0
        try:
            while not self._stopping:
                events, ended = await run_in_threadpool(self._news, release_id, position, step)
                for event in events:
                    yield event
                if ended or not (follow or events):
                    yield _event("end", {}, position)
                    return
                quiet = 0.0 if events else quiet + POLL_SECONDS
                if quiet >= QUIET_SECONDS:
                    quiet = 0.0
                    yield ": nothing new\n\n"
                await asyncio.sleep(POLL_SECONDS if follow and not events else 0)
        finally:
            self._streams -= 1

    def _news(self, release_id: str, position: Position, step: str) -> tuple[list[str], bool]:
        # The release first: what its steps wrote before it ended is in their logs then.
        release = self.find(release_id)
        if release is None:  # removed, long after its end
            return [], True
        events: list[str] = []
        wanted = [one for one in release["steps"] if step in {"", one["name"]}]
        for one in wanted:
            about = {name: one[name] for name in ("name", "state", "attempts", "message")}
            events += _if_new("step", one["name"], about, position)
            events += self._lines(release, one, position)
        whole = not events  # the last look found nothing more to read
        about = {name: release[name] for name in ("id", "state", "reason", "verdict", "held")}
        events += _if_new("release", "", about, position)
        return events, whole and release["state"] not in OPEN

    def _lines(
        self, release: Mapping[str, Any], step: Mapping[str, Any], position: Position
    ) -> Iterator[str]:
        name = step["name"]
        # A cluster is not asked again and again for what will not change.
        if not step["attempts"] or name in position.whole or _rests(name, position):
            return
        start = position.offsets.get(name, 0)
        try:
            written = self._written(release, name, start)
        except CoalmineError as error:
            position.again[name] = time.monotonic() + AGAIN_SECONDS
            about = {"step": name, "reason": error.message, "fix": error.fix}
            yield from _if_new("unreadable", f"log of {name}", about, position)
            return
        position.told.pop(f"log of {name}", None)
        ended = step["state"] in ENDED or release["state"] not in OPEN
        if ended and not written:
            position.whole.add(name)
        for line, end in whole_lines(written, ended=ended):
            position.offsets[name] = start + end
            text = line.decode("utf-8", "replace")
            yield _event("log", {"step": name, "text": text}, position)

    def _written(self, release: Mapping[str, Any], step: str, start: int) -> bytes:
        engine = self._engines.get(release["engine"])
        if engine is None:
            raise CoalmineError(
                f"this launcher has no engine {release['engine']}",
                fix=f"ask one that was started with --engine {release['engine']}",
            )
        return engine.logs(release["id"], step, start)


def _rests(name: str, position: Position) -> bool:
    return time.monotonic() < position.again.get(name, 0.0)


def whole_lines(written: bytes, *, ended: bool) -> Iterator[tuple[bytes, int]]:
    """Part what was written into lines, each with where it ends; one that is not whole waits.

    An engine may give a part at a time, so the rest of a line is taken for all of it only where
    there is nothing else in the part. One that is longer than `LONGEST` does not wait for its end.
    """
    start = 0
    while found := written.find(b"\n", start) + 1:
        yield written[start:found].rstrip(b"\r\n"), found
        start = found
    if written and not start and (ended or len(written) >= LONGEST):
        # A character that is cut in two waits for its other half, if there is anything before it.
        _, end = codecs.utf_8_decode(written, "replace", False)
        end = end or len(written)
        yield written[:end].rstrip(b"\r"), end


def _if_new(kind: str, name: str, about: Mapping[str, object], position: Position) -> Iterator[str]:
    said = json.dumps(about)
    if position.told.get(name) != said:
        position.told[name] = said
        yield _event(kind, about, position)


def _event(kind: str, data: Mapping[str, object], position: Position) -> str:
    return f"event: {kind}\nid: {position.text()}\ndata: {json.dumps(data)}\n\n"
