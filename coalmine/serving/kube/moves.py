"""What a backend on Kubernetes knows of its own: what it sees, and its next move.

`KubeServing` owns the clock, the record and the loop; a backend says, from what it saw and what is
kept, the one next thing to do. Its `next` is pure and tested without a server: the same two values
give the same move, so that whoever comes after a crash goes on where the one before had come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from coalmine.serving.kube.client import Change, Kube
from coalmine.serving.kube.kept import Kept
from coalmine.serving.protocol import ReleaseRecord, Share

__all__ = ["Ask", "Done", "Drifted", "Move", "Moves", "Note", "Wait", "Write", "unmoved"]


@dataclass(frozen=True, slots=True)
class Done:
    """The goal of the record's phase is reached."""


@dataclass(frozen=True, slots=True)
class Write:
    """Change the cluster once; what it came to is seen by looking again."""

    change: Change


@dataclass(frozen=True, slots=True)
class Note:
    """Write down what was found out, in the record's canary and in the notes."""

    notes: Mapping[str, str] = field(default_factory=dict)
    canary: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a prediction to a canary that gets no traffic yet.

    Attributes:
        selector: Label selector of its pods.
        noted: The note under which the answer is kept, with the revision as its value.
        revision: What is asked.
    """

    selector: str
    noted: str
    revision: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but to look again.

    Attributes:
        why: What is waited for.
        selector: Label selector of the pods and Deployments to look at for the reason; empty if
            none are concerned.
        trouble: What the cluster says is wrong for good; empty if it says nothing.
    """

    why: str
    selector: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Drifted:
    """Somebody else has changed what the release had set.

    Attributes:
        what: What is different, and who wrote it.
        fix: How to go on.
    """

    what: str
    fix: str = ""

    @classmethod
    def since(cls, record: ReleaseRecord, kind: str, what: str, writer: str) -> Drifted:
        """Tell that a service's object is not as a release left it.

        Args:
            record: The release's.
            kind: The object's kind.
            what: What is different.
            writer: Who wrote it last; empty where nobody says.
        """
        by = f" (last written by {writer})" if writer else ""
        return cls(
            f"the {kind} {record.service} is not as the release {record.release_id} "
            f"left it: {what}{by}",
            fix="nothing was overwritten; let the release end, then ask for a new one",
        )


def unmoved(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Give the operation by which a JSON Patch fails where the object is no more as it was seen.

    Args:
        metadata: The object's, as it was seen.
    """
    version = metadata.get("resourceVersion")
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}


Move = Done | Write | Note | Ask | Wait | Drifted
S = TypeVar("S")


class Moves(Protocol[S]):
    """A backend's side of a release.

    The goal is told by the phase of the record that is kept:

    ``PREPARING``: the canary is ready and has answered, and gets no user traffic where a stable
    version serves; ``CANARY``: it gets ``record.percent``; ``PROMOTED``: it gets all;
    ``ROLLED_BACK`` and ``REMOVED``: the cluster is as before the release.
    """

    def look(self, kube: Kube, service: str) -> S:
        """Read what the cluster says of a service.

        Raises:
            StaleError: The server cannot be asked now.
        """

    def begin(self, seen: S, record: ReleaseRecord, previous: Kept | None) -> Kept:
        """Tell what a release starts from: ``stable``, the percent, and notes to undo it by.

        Args:
            seen: What was seen.
            record: The release, without a stable version.
            previous: The last release's record, ended.

        Raises:
            InputError: The service cannot have a canary in this way.
            CoalmineError: It cannot now.
        """

    def next(self, seen: S, kept: Kept) -> Move:
        """Tell the next move towards the goal of the record's phase. Pure."""

    def shares(self, seen: S) -> tuple[Share, ...]:
        """Tell what is routed, as the cluster reports it. Pure."""

    def url(self, seen: S) -> str:
        """Tell where users call the service; empty while nothing serves. Pure."""
