"""What a serving backend does: keep a stable version serving while a canary is tried beside it.

One release at a time owns a service. Every call may be made twice, and may come after a crash in
the middle of the first: it finds out what is already so, does the rest, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

__all__ = ["Observation", "Outcome", "Phase", "ReleaseRecord", "ServingBackend", "Share"]


class Phase(StrEnum):
    """How far a release has come with its service; only ever moves down this list."""

    PREPARING = "preparing"
    """The canary is being started; it gets no user traffic."""
    CANARY = "canary"
    """The canary gets its share of the traffic."""
    PROMOTED = "promoted"
    """The canary has become the stable version and gets all traffic."""
    ROLLED_BACK = "rolled_back"
    """The canary got traffic, and was taken away again."""
    REMOVED = "removed"
    """The canary was taken away before it got any traffic."""


class Outcome(StrEnum):
    """What a release came to, as `finalize` tells it."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    """The release never touched the service, or another release owns it."""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """What the backend remembers of the newest release of a service.

    Attributes:
        service: The service.
        release_id: The release that owns it.
        phase: How far it has come.
        canary: Revision name of the version on trial.
        canary_image: Its image, by digest.
        canary_version: The bento's version, for people.
        stable: Revision name of what was stable before; empty on a first release.
        stable_version: Its bento's version; empty on a first release.
        percent: The share of traffic the canary was given.
        canary_since: When the canary first had this share, UTC; None before.
    """

    service: str
    release_id: str
    phase: Phase
    canary: str
    canary_image: str
    canary_version: str
    stable: str = ""
    stable_version: str = ""
    percent: int = 0
    canary_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """One revision and the part of the traffic that is routed to it.

    Attributes:
        revision: Revision name; the name its metrics go by.
        version: The bento's version, for people.
        percent: 0 to 100.
        ready: Whether it answers.
    """

    revision: str
    version: str
    percent: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """What is really routed, as seen at the proxy and not as it was asked for.

    Attributes:
        service: The service.
        url: Where users call it; empty while nothing serves.
        shares: Every revision that gets traffic; they add up to 100, or there are none.
        record: The newest release's record; None if there was none.
    """

    service: str
    url: str
    shares: tuple[Share, ...]
    record: ReleaseRecord | None


class ServingBackend(Protocol):
    """Splits a service's traffic between a stable version and a canary."""

    def apply_canary(
        self, *, service: str, image: str, version: str, percent: int, release_id: str
    ) -> ReleaseRecord:
        """Start a canary, wait until it answers, give it its share, and see that it has it.

        On the first release of a service there is no stable version: the canary takes all traffic.

        Args:
            service: What users call.
            image: The canary's image, by digest.
            version: The bento's version, for people.
            percent: 1 to 99.
            release_id: The release that will own the service.

        Returns:
            The record, in phase ``CANARY``.

        Raises:
            InputError: A value is out of range, or the image cannot be run.
            CoalmineError: Another release owns the service, or the canary did not become ready, or
                the share is not routed; the stable version serves on.
        """

    def set_traffic(self, *, service: str, percent: int, release_id: str) -> ReleaseRecord:
        """Give the canary another share, and see that it has it.

        On the first release of a service nothing changes: the canary has all traffic.

        Args:
            service: What users call.
            percent: 1 to 99.
            release_id: The release that owns the service.

        Returns:
            The record; its ``canary_since`` is when the canary first had this share.

        Raises:
            InputError: The percent is out of range, or the canary does not run any more.
            CoalmineError: The release does not own the service, or has no canary with traffic, or
                the share is not routed.
        """

    def promote(self, *, service: str, release_id: str) -> ReleaseRecord:
        """Give the canary all traffic, then let the old version drain and stop.

        Raises:
            CoalmineError: The release does not own the service, or has no canary to promote.
        """

    def rollback(self, *, service: str, release_id: str) -> ReleaseRecord | None:
        """Give the stable version all traffic again, then let the canary drain and stop.

        A promoted release is left as it is. Returns None where the release does not own the
        service: then nothing is touched.
        """

    def observe(self, service: str) -> Observation:
        """Tell what is routed now.

        Raises:
            CoalmineError: The proxy does not answer.
        """
