"""Something that happened with a release, which others are told of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["SOURCE", "Happening", "What"]

SOURCE = "/coalmine/launcher"
CHAINS = uuid.UUID("6f1a1c57-8c0c-5d0b-9d0e-2f6a5b7c9e31")
"""The namespace of the ids of chains, one for each release."""


class What(StrEnum):
    """What happened. The states of a release bear their own names."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    HELD = "held"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    """Its engine would not take its run; it is tried again only on request."""
    BUILT = "built"
    JUDGING = "judging"
    JUDGED = "judged"
    SERVED = "served"
    """The new version is what the service serves."""
    WITHDRAWN = "withdrawn"
    """The new version is taken away, and the one before serves alone."""
    REMOVED = "removed"
    """The new version is taken away, and there was none before."""

    @property
    def is_state(self) -> bool:
        """Tell whether it is a state of the release."""
        return self in STATES

    @property
    def is_end(self) -> bool:
        """Tell whether nothing of the release follows."""
        return self in ENDS


ENDS = frozenset({What.PROMOTED, What.ROLLED_BACK, What.FAILED, What.CANCELLED, What.DEAD})
STATES = ENDS | {What.ACCEPTED, What.RUNNING, What.HELD}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    Attributes:
        what: What it is.
        at: When, RFC 3339.
        release_id: The release.
        service: What users call.
        name: The bento's name.
        pipeline: The pipeline's name.
        engine: Where it runs.
        url: Where the release can be read.
        trigger: ``source``, ``id`` and ``type`` of the event that asked for the release.
        trigger_attributes: All attributes of that event.
        facts: What was known of the release then; ``version``, ``image_digest``, ``verdict``,
            ``reason``, ``first`` (``yes`` if the service had no version before), ``before`` (the
            artifact that served before), ``suite`` (the task that judges), ``namespace``.
        attempt: Which one it is of the release, from 1 on: one that was dead is tried again.
    """

    what: What
    at: str
    release_id: str
    service: str
    name: str
    pipeline: str
    engine: str
    url: str
    trigger: Mapping[str, str]
    trigger_attributes: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1

    def fact(self, name: str) -> str:
        """Give what was known; empty if nothing was."""
        return self.facts.get(name, "")

    def event_id(self, suffix: str) -> str:
        """Name an event of this release, the same whenever it is told of."""
        again = f".{self.attempt}" if self.attempt > 1 else ""
        return f"{self.release_id}{again}.{suffix}"

    @property
    def chain(self) -> str:
        """The id that all events of this release share."""
        return str(uuid.uuid5(CHAINS, self.release_id))

    @property
    def artifact(self) -> str:
        """The image as a package URL; the bento's while there is no image."""
        return artifact_of(self.name, self.fact("version"), self.fact("image_digest"))


def artifact_of(name: str, version: str, digest: str) -> str:
    """Name what was built, as a package URL (https://github.com/package-url/purl-spec)."""
    if digest:
        return f"pkg:oci/{name}@{digest.replace(':', '%3A')}"
    return f"pkg:generic/{name}@{version}" if version else f"pkg:generic/{name}"
