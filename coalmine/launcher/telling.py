"""Tells others what becomes of releases: one sender a sink, and the notes that feed them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence

from coalmine.launcher.database import Database
from coalmine.launcher.notes import Notes
from coalmine.launcher.outbox import Outbox
from coalmine.launcher.sender import TELL_SECONDS, Sender
from coalmine.launcher.sinks import Sink

__all__ = ["Telling"]


class Telling:
    """Everything that goes out.

    Args:
        sinks: Where to.
        base_url: Under which others read releases.
        judges: Gives the names of a pipeline's tasks that give a verdict.
        tell_for: Seconds after which what a sink does not take is put aside.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        base_url: str,
        judges: Callable[[str], Collection[str]],
        tell_for: float = TELL_SECONDS,
    ) -> None:
        self._sinks = tuple({sink.name: sink for sink in sinks}.values())
        self._base_url = base_url
        self._tell_for = tell_for
        self._senders: tuple[Sender, ...] = ()
        self.notes = Notes([sink.name for sink in self._sinks], judges, self._wake)
        """What the ledger writes with."""

    @contextlib.contextmanager
    def sending(
        self, database: Database, on_sent: Callable[[str, int, int, int], None]
    ) -> Iterator[None]:
        """Send what is noted, and what was noted before, until the end of the block.

        Args:
            database: The ledger's.
            on_sent: As `Sender` has it.
        """
        self._senders = tuple(
            Sender(
                Outbox(database, sink.name, self._base_url), sink, on_sent, tell_for=self._tell_for
            )
            for sink in self._sinks
        )
        with contextlib.ExitStack() as stack:
            for sender in self._senders:
                stack.callback(sender.stop)
                sender.start()
            stack.callback(self._end)  # all at once, so that they are waited for together
            yield

    def _end(self) -> None:
        for sender in self._senders:
            sender.end()

    def _wake(self) -> None:
        for sender in self._senders:
            sender.wake()
