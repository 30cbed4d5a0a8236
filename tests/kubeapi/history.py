"""Every change of the objects, in its order: what a watch is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.kubeapi.kinds import Kind
from tests.kubeapi.status import gone

__all__ = ["Change", "History", "Object"]

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        version: The resourceVersion it made.
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        kind: The object's kind.
        namespace: Where it is; empty for cluster-scoped kinds.
        object: The object after the change; not to be written to.
        before: The object before; None for a new one.
    """

    version: int
    type: str
    kind: Kind
    namespace: str
    object: Object
    before: Object | None = None


class History:
    """The changes, and the resourceVersion that each made; the store's lock is held by who calls.

    Attributes:
        changes: All that were made.
        version: The newest resourceVersion.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.version = 100
        self._oldest = 0
        self._subscribers: list[Callable[[Change], object]] = []

    def subscribe(self, callback: Callable[[Change], object]) -> None:
        """Call back after every change."""
        self._subscribers.append(callback)

    def advance(self) -> str:
        """Give the next resourceVersion."""
        self.version += 1
        return str(self.version)

    def add(self, change: Change) -> None:
        """Keep a change, and tell of it."""
        self.changes.append(change)
        for subscriber in self._subscribers:
            subscriber(change)

    def compact(self) -> None:
        """Forget the changes."""
        self._oldest = self.version
        self.version += 1

    def since(self, version: int) -> list[Change]:
        """Every change after a resourceVersion.

        Raises:
            ApiError: 410, when they are forgotten.
        """
        if version < self._oldest:
            raise gone(version, self._oldest)
        newer = (
            len(self.changes) - index
            for index, change in enumerate(reversed(self.changes))
            if change.version <= version
        )
        return self.changes[next(newer, 0) :]
