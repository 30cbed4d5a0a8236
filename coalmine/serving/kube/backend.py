"""A serving backend on Kubernetes: a release's phases, whatever it is that splits the traffic.

As on one machine, a change is decided first, by a pure function of the record, and written down;
then the cluster is made to agree with the record. Whoever comes after a crash does the rest.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from coalmine._base.errors import InputError
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.drive import Driver, Timing
from coalmine.serving.kube.ending import Ending, patiently
from coalmine.serving.kube.example import Prediction
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Drifted, Moves
from coalmine.serving.kube.ownership import NotOwnerError, Ownership
from coalmine.serving.protocol import Observation, Phase, ReleaseRecord
from coalmine.serving.record import UNFINISHED, begun, promoted, routed, shifted, withdrawn
from coalmine.serving.taken_back import TakenBackError

__all__ = ["KubeServing"]

logger = logging.getLogger(__name__)
DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
R = TypeVar("R")
S = TypeVar("S")


class KubeServing(Generic[S]):
    """Splits traffic in one namespace; see `ServingBackend`.

    Args:
        kube: The cluster.
        moves: What splits the traffic there.
        timing: The clock of each wait.
        force: Whether a canary may take the service from an unfinished release.
        probe: The prediction to ask of a canary; None means the bento's own example.
        now: The time, UTC.
        name: The backend's name, by which a release is ended again; empty keeps none.
    """

    def __init__(
        self,
        kube: Kube,
        moves: Moves[S],
        *,
        timing: Timing | None = None,
        force: bool = False,
        probe: Prediction | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        name: str = "",
    ) -> None:
        self._kube, self._moves, self._now = kube, moves, now
        self._timing, self._force = timing or Timing(), force
        self._own = Ownership(kube, now=now, backend=name)
        self._driver = Driver(kube, self._own, moves, self._timing, probe)
        self._ending = Ending(self._driver)

    def apply_canary(
        self, *, service: str, image: str, version: str, percent: int, release_id: str
    ) -> ReleaseRecord:
        """Start a canary and give it its share; see `ServingBackend.apply_canary`."""
        _check(service, image)

        def start() -> Kept:
            previous = self._own.read(service)
            if previous and self._gives_way(previous, release_id):
                previous = self._evict(previous)
            record = begun(
                previous.record if previous else None,
                service=service,
                image=image,
                version=version,
                percent=percent,
                release_id=release_id,
            )
            if previous and record is previous.record:
                self._own.renew(service, release_id)
                return previous
            # What is stable is told by the cluster, so the share is not yet known to be whole.
            return self._begin(previous, replace(record, percent=percent))

        return self._tried(self._patiently(start))

    def set_traffic(self, *, service: str, percent: int, release_id: str) -> ReleaseRecord:
        """Give the canary another share; see `ServingBackend.set_traffic`."""

        def decide() -> Kept:
            kept = self._own.read(service)
            record = shifted(kept.record if kept else None, release_id, service, percent)
            if kept is None or record == kept.record:
                return kept or Kept(record)
            return self._own.write(kept.with_record(record))

        return self._tried(self._patiently(decide))

    def promote(self, *, service: str, release_id: str) -> ReleaseRecord:
        """Give the canary all traffic; see `ServingBackend.promote`."""

        def decide() -> Kept:
            kept = self._own.read(service)
            record = promoted(kept.record if kept else None, release_id, service)
            if kept is None or record == kept.record:
                return kept or Kept(record)
            # What is not as the release left it is not what the gate has judged.
            seen = self._moves.look(self._kube, service)
            if isinstance(move := self._moves.next(seen, kept), Drifted):
                raise InputError(move.what, fix=move.fix)
            return self._own.write(kept.with_record(record))

        return self._ended(self._patiently(decide))

    def rollback(self, *, service: str, release_id: str) -> ReleaseRecord | None:
        """Give the stable version all traffic; see `ServingBackend.rollback`."""

        def decide() -> Kept | None:
            kept = self._own.read(service)
            if kept is None or kept.record.release_id != release_id:
                self._own.give_up(service, release_id)
                return None
            record = withdrawn(kept.record)
            if record == kept.record:
                return kept
            return self._own.write(kept.with_record(record))

        kept = self._patiently(decide)
        try:
            return None if kept is None else self._ended(kept)
        except TakenBackError as taken:
            return taken.record

    def observe(self, service: str) -> Observation:
        """Tell what the cluster routes; see `ServingBackend.observe`."""
        kept = self._own.read(service)
        seen = self._moves.look(self._kube, service)
        shares = self._moves.shares(seen)
        versions = {}
        if kept:
            versions = {kept.record.stable: kept.record.stable_version}
            versions[kept.record.canary] = kept.record.canary_version
        return Observation(
            service=service,
            url=self._moves.url(seen) if shares else "",
            shares=tuple(replace(s, version=versions.get(s.revision, s.version)) for s in shares),
            record=kept.record if kept else None,
        )

    def _begin(self, previous: Kept | None, record: ReleaseRecord) -> Kept:
        over = ""
        if previous:
            over = previous.record.release_id
            if self._own.holder(record.service) == over:
                # What was taken back is out of the way as well.
                with contextlib.suppress(TakenBackError):
                    self._ending.reach(previous)
                # Its end may have been written and not yet reached.
                previous = self._own.read(record.service)
        blank = replace(record, canary="", stable="", stable_version="")
        start = self._moves.begin(self._moves.look(self._kube, record.service), blank, previous)
        self._own.claim(record.service, record.release_id, over=over)
        if previous:
            start = replace(start, version=previous.version)
            start = start.with_record(_with_version(start.record, previous.record))
        return self._own.write(start)

    def _gives_way(self, previous: Kept, release_id: str) -> bool:
        other = previous.record.release_id != release_id
        return self._force and other and previous.record.phase in UNFINISHED

    def _evict(self, previous: Kept) -> Kept:
        logger.warning(
            "the service is taken by force from an unfinished release",
            extra={"release": previous.record.release_id, "phase": str(previous.record.phase)},
        )
        return self._own.write(previous.with_record(withdrawn(previous.record)))

    def _tried(self, kept: Kept) -> ReleaseRecord:
        if kept.record.phase is Phase.PREPARING:
            kept = self._driver.reach(kept)
            if kept.record.phase is Phase.PREPARING:
                kept = self._write(kept, replace(kept.record, phase=Phase.CANARY))
        kept = self._driver.reach(kept)
        if kept.record.phase is not Phase.CANARY:
            raise NotOwnerError(
                f"the release {kept.record.release_id} of {kept.record.service} was ended as "
                f"{kept.record.phase} meanwhile"
            )
        seen = routed(kept.record, self._now())
        return seen if seen == kept.record else self._write(kept, seen).record

    def _ended(self, kept: Kept) -> ReleaseRecord:
        record = kept.record
        try:
            record = self._ending.reach(kept).record
        except TakenBackError:
            self._let_go(record)
            raise
        self._let_go(record)
        return record

    def _let_go(self, record: ReleaseRecord) -> None:
        self._patiently(lambda: self._own.give_up(record.service, record.release_id))

    def _write(self, kept: Kept, record: ReleaseRecord) -> Kept:
        wanted = record

        def write() -> Kept:
            now = self._own.read(kept.record.service)
            if now is None or now.record.release_id != wanted.release_id:
                raise NotOwnerError(f"the service {wanted.service} was taken over meanwhile")
            if now.record.phase is wanted.phase and now.record.canary_since:
                return now
            if now.record.phase is not kept.record.phase:
                return now
            return self._own.write(now.with_record(wanted))

        written = self._patiently(write)
        logger.info(
            "phase", extra={"release": wanted.release_id, "phase": str(written.record.phase)}
        )
        return written

    def _patiently(self, decide: Callable[[], R]) -> R:
        return patiently(decide, self._timing)


def _with_version(record: ReleaseRecord, previous: ReleaseRecord) -> ReleaseRecord:
    """Carry over what people call the stable version, where the last release knew it."""
    known = {previous.stable: previous.stable_version, previous.canary: previous.canary_version}
    return replace(record, stable_version=known.get(record.stable, ""))


def _check(service: str, image: str) -> None:
    if not SERVICE.fullmatch(service):
        raise InputError(
            f"{service!r} is no name of a service on Kubernetes",
            field="service",
            fix="use up to 52 lower-case letters, digits and -, beginning with a letter",
        )
    if not DIGEST.fullmatch(image):
        raise InputError(
            f"{image!r} names no digest",
            field="image",
            fix="give NAME@sha256:..., as the step build does",
        )
