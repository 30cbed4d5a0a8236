"""Who sent a request, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from coalmine._base.errors import InputError

__all__ = ["ALL_RIGHTS", "AccessError", "Caller", "Right", "check_right", "check_sources"]


class Right(StrEnum):
    """What a request needs."""

    SEND = "send"
    READ = "read"
    DECIDE = "decide"


ALL_RIGHTS = frozenset(Right)


class AccessError(InputError):
    """A request may not do what it asks.

    Args:
        message: Why; never with a secret in it.
        status: 401 if it is not known who asks, 403 if they may not, 429 if they ask too often.
        fix: What to do.
        retry_after: Seconds to wait; 0 if waiting does not help.
    """

    def __init__(self, message: str, *, status: int, fix: str, retry_after: int = 0) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: As the access file names them; not a secret.
        may: Their rights.
        sources: Patterns of the event sources they may send; empty for any.
    """

    name: str
    may: frozenset[Right] = ALL_RIGHTS
    sources: tuple[str, ...] = ()


def check_right(caller: Caller, right: Right) -> None:
    """See that a caller has a right.

    Raises:
        AccessError: They have not.
    """
    if right not in caller.may:
        raise AccessError(
            f"{caller.name} may not {right} here",
            status=403,
            fix=f"use a credential with the right {right!r}, or add it in the access file",
        )


def check_sources(caller: Caller, sources: Iterable[str]) -> None:
    """See that a caller may send events of these sources.

    Raises:
        AccessError: They may not send one.
    """
    if not caller.sources:
        return
    for source in sources:
        if not any(fnmatchcase(source, pattern) for pattern in caller.sources):
            raise AccessError(
                f"{caller.name} may not send events from {source}",
                status=403,
                fix=f"send from one of: {', '.join(caller.sources)}",
            )
