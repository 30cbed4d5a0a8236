"""A client of the cluster whose process is killed before one of its writes."""

from __future__ import annotations

from coalmine.serving.kube.client import Change, Kube, Object

__all__ = ["Dying", "Killed", "dying"]


class Killed(BaseException):
    """The process is gone."""


class Dying(Kube):
    """Dies before a write: the cluster is left as it was after the write before."""

    left = 10**6
    writes = 0

    def write(self, change: Change) -> Object:
        self.writes += 1
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().write(change)


def dying(kube: Kube, left: int) -> Dying:
    """Make a client like another, with so many writes left."""
    made = Dying(kube._http, kube.namespace, sleep=lambda _: None)
    made.left = left
    return made
