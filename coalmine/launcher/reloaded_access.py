"""Access as a file says it, read again when the file changes."""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.launcher.access import Guarded
from coalmine.launcher.caller import Caller, Right
from coalmine.launcher.reloaded import Reloaded

__all__ = ["ReloadedAccess"]


class ReloadedAccess:
    """Asks for a credential that the file as it was last good knows.

    Counts for `rate` begin anew with a changed file, but for those that processes share. Tokens of
    issuers are checked again.

    Args:
        guarded: Reads the file.
    """

    def __init__(self, guarded: Reloaded[Guarded]) -> None:
        self._guarded = guarded

    @property
    def origins(self) -> tuple[str, ...]:
        """See `Access`."""
        return self._guarded().origins

    @property
    def rate(self) -> int | None:
        """See `Access`."""
        return self._guarded().rate

    async def admit(self, headers: Mapping[str, str], right: Right) -> Caller | None:
        """See `Access`."""
        return await self._guarded().admit(headers, right)

    def admit_signed(self, headers: Mapping[str, str], body: bytes) -> Caller:
        """See `Access`."""
        return self._guarded().admit_signed(headers, body)

    def count(self, caller: Caller, events: int) -> None:
        """See `Access`."""
        self._guarded().count(caller, events)
