"""A release as the launcher knows it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Conflict", "NewRelease", "OpenRelease", "ReleaseState", "digest_of", "release_id_of"]

ID_CHARACTERS = 15
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
"""Those of base32. The library's own takes as long as all the checks of an event's attributes."""
TRIPLES = ["".join(three) for three in itertools.product(LETTERS, repeat=3)]


class ReleaseState(StrEnum):
    """Where a release is; all but the first two are ends."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    """Its engine would not take its run for so long that it is tried no more, but on request."""

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen to it."""
        return self not in {ReleaseState.ACCEPTED, ReleaseState.RUNNING}


class Conflict(StrEnum):
    """What becomes of a new release whose service has one that has not ended."""

    QUEUE = "queue"
    SUPERSEDE = "supersede"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release that an event asks for.

    Attributes:
        id: Follows from the event's source and id alone.
        service: What users call.
        name: The bento's name.
        version: Its version; empty for the newest.
        event_source: Of the event.
        event_id: Of the event.
        event_type: Of the event.
        binding: The binding that took the event.
        pipeline: The pipeline's name.
        engine: Where it runs.
        parameters: The pipeline's parameters.
        event_attributes: Every attribute of the event, extensions too.
        on_conflict: What becomes of it when its service has one that has not ended.
        content_key: What it asks for, where the same within ``within`` is the same release;
            empty where only the same event is.
        within: Seconds, for ``content_key``.
    """

    id: str
    service: str
    name: str
    version: str
    event_source: str
    event_id: str
    event_type: str
    binding: str
    pipeline: str
    engine: str
    parameters: Mapping[str, str]
    event_attributes: Mapping[str, str] = field(default_factory=dict)
    on_conflict: Conflict = Conflict.QUEUE
    content_key: str = ""
    within: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenRelease:
    """A release that runs, as the dispatcher needs it.

    Attributes:
        id: Its id, which is its run's too.
        service: What users call.
        pipeline: The pipeline's name.
        engine: Where it runs.
        parameters: The pipeline's parameters.
        cancel_reason: Why its run shall end; empty while it may go on.
        submitted: Whether its engine was seen to have its run.
    """

    id: str
    service: str
    pipeline: str
    engine: str
    parameters: Mapping[str, str]
    cancel_reason: str = ""
    submitted: bool = False


def digest_of(*parts: str) -> bytes:
    """Give a SHA-256 that differs whenever one part does."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).digest()


def release_id_of(source: str, event_id: str) -> str:
    """Derive a release's id, so that the same event always means the same release.

    Returns:
        ``r`` and 15 lower-case letters and digits (75 bits of SHA-256).
    """
    digest = hashlib.sha256(f"{len(source)}:{source}{event_id}".encode()).digest()
    bits = int.from_bytes(digest[: ID_CHARACTERS * 5 // 8 + 1]) >> 5
    return "r" + "".join([TRIPLES[bits >> place & 0x7FFF] for place in (60, 45, 30, 15, 0)])
