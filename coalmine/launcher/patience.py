"""How long to wait for an engine that failed, and when a run is given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coalmine.engines.protocol import BusyError

__all__ = ["SUBMIT_SECONDS", "Patience", "wait_after"]

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
SUBMIT_SECONDS = 600.0


def wait_after(failures: int) -> float:
    """Give the seconds to wait when an engine has failed so many times in a row (from 1 on)."""
    return float(min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT))


@dataclass(frozen=True, slots=True)
class _Trouble:
    failures: int = 0
    since: float = 0.0
    until: float = 0.0


class Patience:
    """The releases that wait since their engine failed.

    Args:
        submit_for: Seconds for which a run is submitted again and again before it is given up.
        monotonic: Seconds that only grow.
    """

    def __init__(self, submit_for: float, monotonic: Callable[[], float]) -> None:
        self.submit_for = submit_for
        self._monotonic = monotonic
        self._troubles: dict[str, _Trouble] = {}

    def waits(self, release_id: str) -> bool:
        """Tell whether a release is still to be left alone."""
        trouble = self._troubles.get(release_id)
        return trouble is not None and self._monotonic() < trouble.until

    def forget(self, release_id: str) -> None:
        """Take note that all is well with a release."""
        self._troubles.pop(release_id, None)

    def failed(self, release_id: str, error: Exception) -> tuple[float, bool]:
        """Take note of a failure.

        An engine that is busy is asked again when it says, and this counts for nothing.

        Returns:
            The seconds to wait, and whether a run that is yet to be submitted is given up.
        """
        now = self._monotonic()
        before = self._troubles.get(release_id) or _Trouble()
        since = before.since if before.failures else now
        if isinstance(error, BusyError):
            wait, failures = error.retry_after, before.failures
        else:
            wait, failures = wait_after(before.failures + 1), before.failures + 1
        self._troubles[release_id] = _Trouble(failures, since, now + wait)
        return wait, failures > before.failures and now - since >= self.submit_for
