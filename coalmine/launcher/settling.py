"""Writes what became of releases: what is found in a round in few commits, and what follows.

In the commit that ends a release the next one of its service begins, so that a queue costs one
commit for many releases. A change that cannot be written takes no other with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from coalmine._base.errors import CoalmineError
from coalmine.launcher.drive import Change, Driver
from coalmine.launcher.ledger import Ledger

__all__ = ["Settling"]

MOST_CHANGES = 100
"""In one commit, so that those who accept do not wait long for their turn."""
KEPT_SECONDS = 0.25
"""For which a change waits for others."""


class Settling:
    """Collects changes, and writes them.

    Args:
        ledger: Where releases stand.
        driver: Told what was written.
        on_begun: Told the ids of releases that have begun.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        ledger: Ledger,
        driver: Driver,
        on_begun: Callable[[Sequence[str]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._driver = driver
        self._on_begun = on_begun
        self._monotonic = monotonic
        self._kept: list[Change] = []
        self._since = 0.0

    def add(self, change: Change | None) -> None:
        """Take a change; it is written soon, with others, or at once if enough wait.

        Raises:
            CoalmineError: The ledger cannot be written; what was not is found again.
        """
        if change is None:
            return
        if not self._kept:
            self._since = self._monotonic()
        self._kept.append(change)
        if len(self._kept) >= MOST_CHANGES or self._monotonic() - self._since >= KEPT_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what was taken.

        Raises:
            CoalmineError: The ledger cannot be written; what was not is found again.
        """
        changes, self._kept = self._kept, []
        if not changes:
            return
        try:
            self._settle(changes)
        except Exception as error:  # noqa: BLE001 - one that breaks must not hold up the others
            if len(changes) == 1:
                self._leave(changes[0], error)
            else:
                self._settle_each(changes)

    def _settle(self, changes: Sequence[Change]) -> None:
        told = {one.release.id: one.told for one in changes}
        freed = [one.release.service for one in changes if one.told.state.ended]
        new, begun = self._ledger.settle(told, freed)
        for change in changes:
            if change.release.id in new:  # else it is another launcher's by now
                self._driver.written(change, new[change.release.id])
        self._on_begun(begun)

    def _settle_each(self, changes: Sequence[Change]) -> None:
        """Write one by one; two in a row that fail mean that it is the ledger's fault."""
        failed = False
        for change in changes:
            try:
                self._settle([change])
            except Exception as error:
                self._leave(change, error)
                if failed:
                    raise
                failed = True
            else:
                failed = False

    def _leave(self, change: Change, error: Exception) -> None:
        instead = self._driver.not_written(change, error)
        with contextlib.suppress(CoalmineError):  # nor can that it is so, if the ledger is away
            self._ledger.settle({change.release.id: instead}, ())
