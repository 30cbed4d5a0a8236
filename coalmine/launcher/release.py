"""A release as the launcher knows it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NewRelease", "OpenRelease", "ReleaseState", "release_id_of"]

ID_CHARACTERS = 15


class ReleaseState(StrEnum):
    """Where a release is; the last four are ends."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen to it."""
        return self not in {ReleaseState.ACCEPTED, ReleaseState.RUNNING}


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


@dataclass(frozen=True, slots=True)
class OpenRelease:
    """A release that has not ended, as the dispatcher needs it.

    Attributes:
        id: Its id, which is its run's too.
        service: What users call.
        state: ``accepted`` or ``running``.
        order: Grows with every release that is accepted.
        pipeline: The pipeline's name.
        engine: Where it runs.
        parameters: The pipeline's parameters.
    """

    id: str
    service: str
    state: ReleaseState
    order: int
    pipeline: str = ""
    engine: str = "local"
    parameters: Mapping[str, str] | None = None


def release_id_of(source: str, event_id: str) -> str:
    """Derive a release's id, so that the same event always means the same release.

    Returns:
        ``r`` and 15 lower-case letters and digits (75 bits of SHA-256).
    """
    digest = hashlib.sha256(f"{len(source)}:{source}{event_id}".encode()).digest()
    return "r" + base64.b32encode(digest).decode().lower()[:ID_CHARACTERS]
