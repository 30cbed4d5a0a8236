"""The serving backend on one machine: Envoy splits the traffic between supervised model servers.

A change is decided first, by a pure function of the record, and written down; then the machine is
made to agree with the record. So whoever comes after a crash reads the record and makes the
machine agree with it, and needs not know how far the one before had come.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.serving.protocol import Observation, Phase, ReleaseRecord, Share
from coalmine.serving.record import (
    UNFINISHED,
    begun,
    promoted,
    retired,
    routed,
    shifted,
    split,
    undone,
    withdrawn,
)
from coalmine.serving.records import Records
from coalmine.serving.taken_back import TakenBackError
from coalmine.serving.trial import Trial, Unpack, Ways
from coalmine.stack.layout import Layout
from coalmine.stack.proxy import Proxy
from coalmine.stack.routing import mirror_of
from coalmine.stack.servers import NotServingError, Servers, answers

__all__ = ["LocalServing", "Unpack"]

logger = logging.getLogger(__name__)


def _cannot_unpack(reference: str, into: Path) -> Path:
    raise CoalmineError(f"nothing here can unpack {reference} into {into}")


class LocalServing:
    """Splits traffic with the stack of one state folder; see `ServingBackend`.

    Args:
        records: What is remembered of each service.
        servers: The model servers.
        proxy: What splits the traffic.
        unpack: Unpacks an image.
        now: The time, UTC.
        ways: How canaries are tried.
    """

    def __init__(
        self,
        *,
        records: Records,
        servers: Servers,
        proxy: Proxy,
        unpack: Unpack,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        ways: Ways = Ways(),  # noqa: B008 - frozen
    ) -> None:
        self._records = records
        self._servers = servers
        self._proxy = proxy
        self._trial = Trial(servers, proxy, unpack, ways)
        self._now = now

    @classmethod
    def of(
        cls,
        state: Path,
        unpack: Unpack = _cannot_unpack,
        ways: Ways = Ways(),  # noqa: B008 - frozen
    ) -> LocalServing:
        """Open the backend of a state folder; without ``unpack``, only for what is there."""
        layout = Layout(state.absolute())
        return cls(
            records=Records(layout.services),
            servers=Servers(layout),
            proxy=Proxy(layout),
            unpack=unpack,
            ways=ways,
        )

    def apply_canary(
        self, *, service: str, image: str, version: str, percent: int, release_id: str
    ) -> ReleaseRecord:
        """Start a canary and give it its share; see `ServingBackend.apply_canary`."""

        def begin() -> tuple[ReleaseRecord | None, ReleaseRecord]:
            previous = self._records.read(service)
            return previous, begun(
                previous,
                service=service,
                image=image,
                version=version,
                percent=percent,
                release_id=release_id,
            )

        begin()  # So that one who must not wait for another release's canary is told so now.
        with self._records.locked(service):
            previous, record = begin()
            self._proxy.shares(service)  # Where the stack is down, nothing shall be begun.
            if record is not previous:
                if previous:
                    with contextlib.suppress(TakenBackError):
                        self._settle(previous)
                # What was stable before is another version if a promotion was just taken back.
                _, record = begin()
                self._write(record)
            return self._tried(record)

    def set_traffic(self, *, service: str, percent: int, release_id: str) -> ReleaseRecord:
        """Give the canary another share; see `ServingBackend.set_traffic`."""
        with self._records.locked(service):
            before = self._records.read(service)
            record = shifted(before, release_id, service, percent)
            self._trial.check_alive(record, "gets no other share")
            if record != before:
                self._write(record)
            return self._given_its_share(record)

    def promote(self, *, service: str, release_id: str) -> ReleaseRecord:
        """Give the canary all traffic; see `ServingBackend.promote`."""
        with self._records.locked(service):
            before = self._records.read(service)
            record = promoted(before, release_id, service)
            if record != before:
                self._trial.check_alive(record, "is not promoted")
                self._write(record)
            self._settle(record)
            return record

    def rollback(self, *, service: str, release_id: str) -> ReleaseRecord | None:
        """Give the stable version all traffic; see `ServingBackend.rollback`."""
        with self._records.locked(service):
            before = self._records.read(service)
            if before is None or before.release_id != release_id:
                return None
            record = withdrawn(before)
            if record != before:
                self._write(record)
            try:
                self._settle(record)
            except TakenBackError as taken:
                return taken.record
            return record

    def observe(self, service: str) -> Observation:
        """Tell what Envoy routes; see `ServingBackend.observe`."""
        record = self._records.read(service)
        shares = self._proxy.shares(service)
        hosts = self._proxy.admin.hosts() if shares else {}
        return Observation(
            service=service,
            url=f"{self._proxy.url}/{service}" if shares else "",
            shares=tuple(
                Share(revision, _version(record, revision), percent, _ready(hosts, revision))
                for revision, percent in shares.items()
            ),
            record=record,
        )

    def services(self) -> list[str]:
        """Name every service that ever had a release."""
        return self._records.services()

    def resume(self) -> None:
        """Finish what was decided but not done when the machine or the stack stopped.

        Raises:
            CoalmineError: For one service it cannot be done now; for the others it is done.
        """
        failed: list[CoalmineError] = []
        for service in self._records.services():
            try:
                with self._records.locked(service):
                    record = self._records.read(service)
                    if record and record.phase not in UNFINISHED:
                        self._settle(record)
            except CoalmineError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _tried(self, record: ReleaseRecord) -> ReleaseRecord:
        if record.canary_since is None:
            self._trial.prepare(record)
            self._trial.route(record)
        if record.phase is Phase.PREPARING:
            self._trial.mirror(record)
            record = self._write(replace(record, phase=Phase.CANARY))
        return self._given_its_share(record)

    def _given_its_share(self, record: ReleaseRecord) -> ReleaseRecord:
        self._trial.end_mirror(record)
        self._trial.route(record)
        seen = routed(record, self._now())
        return record if seen == record else self._write(seen)

    def _settle(self, record: ReleaseRecord) -> None:
        if record.phase is Phase.PROMOTED:
            self._servers.keep(record.canary)
            if not self._is_routed(record):
                # It may have ended since this was decided: no traffic goes to it before it is back.
                self._wait_serving(record)
        self._proxy.route(record.service, split(record), previews={})
        if gone := retired(record):
            for cluster in (mirror_of(gone), gone):
                self._proxy.remove_cluster(cluster)
            self._servers.remove(gone)

    def _wait_serving(self, record: ReleaseRecord) -> None:
        try:
            self._servers.wait_serving(record.canary)
        except NotServingError as error:
            # The stable version still has its route and its server; else the split would stay.
            back = self._write(undone(record))
            self._settle(back)
            raise TakenBackError(back, error.message) from None

    def _is_routed(self, record: ReleaseRecord) -> bool:
        # Envoy may be on its way back after a crash.
        with contextlib.suppress(CoalmineError):
            return self._proxy.shares(record.service) == split(record)
        return False

    def _write(self, record: ReleaseRecord) -> ReleaseRecord:
        self._records.write(record)
        logger.info("phase", extra={"release": record.release_id, "phase": str(record.phase)})
        return record


def _version(record: ReleaseRecord | None, revision: str) -> str:
    if record is None:
        return ""
    known = {record.stable: record.stable_version, record.canary: record.canary_version}
    return known.get(revision, "")


def _ready(hosts: Mapping[str, str], revision: str) -> bool:
    return revision in hosts and answers(hosts[revision])
