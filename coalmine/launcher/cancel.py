"""End a release on request: at once if it has not begun, else through its engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coalmine._base.errors import CoalmineError
from coalmine.engines.protocol import Engine
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.release import ReleaseState

__all__ = ["Canceller"]

NOT_BEGUN = "cancelled before it began"


class Canceller:
    """Cancels releases.

    Args:
        ledger: Where releases stand.
        engines: By their words.
        on_cancelled: Called after a release was cancelled or its run was asked to end.
    """

    def __init__(
        self, ledger: Ledger, engines: Mapping[str, Engine], on_cancelled: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._engines = engines
        self._on_cancelled = on_cancelled

    def cancel(self, release_id: str) -> ReleaseState | None:
        """Cancel a release; asked again it is the same.

        Returns:
            The state it is in now: ``cancelled``; ``running`` while its run is being ended, which
            takes the canary away; another if it had ended. None if there is no such release.

        Raises:
            CoalmineError: The ledger or the engine cannot be used; ask again.
        """
        if self._ledger.cancel(release_id, NOT_BEGUN):
            self._on_cancelled()
            return ReleaseState.CANCELLED
        row = self._ledger.release(release_id)
        if row is None:
            return None
        state = ReleaseState(row["state"])
        if state is ReleaseState.RUNNING:
            engine = self._engines.get(row["engine"])
            if engine is None:
                raise CoalmineError(f"there is no engine {row['engine']}")
            engine.cancel(release_id)
            self._on_cancelled()
        return state
