"""Who sent a request, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from coalmine._base.errors import InputError
from coalmine.events import Event
from coalmine.launcher.pattern import matches

__all__ = [
    "ALL_RIGHTS",
    "DECIDE",
    "AccessError",
    "Caller",
    "Right",
    "check_events",
    "check_right",
]


class Right(StrEnum):
    """What a request needs."""

    SEND = "send"
    READ = "read"
    CANCEL = "cancel"
    RETRY = "retry"
    APPROVE = "approve"
    REJECT = "reject"


ALL_RIGHTS = frozenset(Right)
DECIDE = ALL_RIGHTS - {Right.SEND, Right.READ}
"""Those that the access file calls ``decide``."""


class AccessError(InputError):
    """A request may not do what it asks.

    Args:
        message: Why; never with a secret in it.
        status: 401 if it is not known who asks, 403 if they may not, 429 if they ask too often.
        fix: What to do.
        retry_after: Seconds to wait; 0 if waiting does not help.
        code: What RFC 6750 calls what is wrong with a token; empty where none was shown, or it is
            not the token that is wrong.
    """

    def __init__(
        self, message: str, *, status: int, fix: str, retry_after: int = 0, code: str = ""
    ) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.retry_after = retry_after
        self.code = code


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: As the access file names them; not a secret.
        may: Their rights.
        sources: Patterns of the event sources they may send; empty for any.
        types: Patterns of the event types they may send; empty for any.
    """

    name: str
    may: frozenset[Right] = ALL_RIGHTS
    sources: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def check_right(caller: Caller, right: Right) -> None:
    """See that a caller has a right.

    Raises:
        AccessError: They have not.
    """
    if right not in caller.may:
        raise AccessError(
            f"{caller.name} may not {right} here",
            status=403,
            fix=f"use a credential with the right '{right}', or add it in the access file",
            code="insufficient_scope",
        )


def check_events(caller: Caller, events: Iterable[Event]) -> None:
    """See that a caller may send these events.

    Raises:
        AccessError: They may not send events of the type or from the source of one.
    """
    if not (caller.sources or caller.types):
        return
    for event in events:
        _check(caller, "of type", event.type, caller.types)
        _check(caller, "from", event.source, caller.sources)


def _check(caller: Caller, how: str, text: str, patterns: Sequence[str]) -> None:
    if patterns and not matches(text, patterns):
        raise AccessError(
            f"{caller.name} may not send events {how} {text}",
            status=403,
            fix=f"send events {how} one of: {', '.join(patterns)}",
        )
