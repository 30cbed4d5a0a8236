"""End a release on request: at once if it has not begun, else through its engine."""

from __future__ import annotations

from collections.abc import Callable

from coalmine.launcher.ledger import Ledger
from coalmine.launcher.release import ReleaseState

__all__ = ["Canceller"]

REASON = "cancelled on request"


class Canceller:
    """Cancels releases.

    Args:
        ledger: Where releases stand.
        on_cancelled: Called after a release was cancelled or its run is to end.
    """

    def __init__(self, ledger: Ledger, on_cancelled: Callable[[], None]) -> None:
        self._ledger = ledger
        self._on_cancelled = on_cancelled

    def wake(self) -> None:
        """Say that there is something to do."""
        self._on_cancelled()

    def cancel(self, release_id: str) -> ReleaseState | None:
        """Cancel a release; asked again it is the same.

        Returns:
            The state it is in now: ``cancelled``; ``running`` while its run is being ended by the
            launcher that drives it, which takes the canary away; another if it had ended. None if
            there is no such release.

        Raises:
            CoalmineError: The ledger cannot be used; ask again.
        """
        state = self._ledger.cancel(release_id, REASON)
        if state in {ReleaseState.CANCELLED, ReleaseState.RUNNING}:
            self._on_cancelled()
        return state
