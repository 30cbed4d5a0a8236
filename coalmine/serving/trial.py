"""A canary on one machine: its server started and tried, before a user is led to it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine._base.files import write_atomic
from coalmine.serving.mirror import Mirror
from coalmine.serving.protocol import ReleaseRecord
from coalmine.serving.record import split
from coalmine.stack.proxy import Proxy
from coalmine.stack.routing import Copied, mirror_of
from coalmine.stack.servers import Servers
from coalmine.stack.waiting import wait_for

__all__ = ["OnCrash", "Trial", "Unpack", "Ways", "parse_on_crash"]

logger = logging.getLogger(__name__)

Unpack = Callable[[str, Path], Path]
"""Unpacks an image into a folder that does not exist yet, and gives the bento's folder in it."""


class OnCrash(StrEnum):
    """What becomes of a canary whose server ends while it is on trial."""

    ROLLBACK = "rollback"
    """It stays ended: its share fails, so the gate rolls it back, and no step goes on with it."""
    RESTART = "restart"
    """It is started again; what failed meanwhile counts, and the gate judges by it."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How canaries are tried here.

    Attributes:
        preview: Value of the preview header that leads to a canary; empty for no previews.
        mirror: What a canary gets copies of before its share; None for nothing.
        on_crash: What becomes of one whose server ends.
    """

    preview: str = ""
    mirror: Mirror | None = None
    on_crash: OnCrash = OnCrash.ROLLBACK


def parse_on_crash(text: str) -> OnCrash:
    """Read the setting; empty means ``rollback``.

    Raises:
        InputError: It is neither.
    """
    try:
        return OnCrash(text or OnCrash.ROLLBACK)
    except ValueError:
        raise InputError(
            f"{text!r} is neither", field="on_crash", fix="give rollback or restart"
        ) from None


class Trial:
    """The canaries of one state folder.

    Args:
        servers: The model servers.
        proxy: What splits the traffic.
        unpack: Unpacks an image.
        ways: How they are tried.
    """

    def __init__(self, servers: Servers, proxy: Proxy, unpack: Unpack, ways: Ways) -> None:
        self._servers, self._proxy = servers, proxy
        self._unpack, self._ways = unpack, ways

    def prepare(self, record: ReleaseRecord) -> None:
        """Start a canary's server, wait until it answers, and make it known to the proxy.

        Raises:
            CoalmineError: It does not answer; the message has the end of its log.
        """
        revision = record.canary
        port = self._servers.start(revision, self._unpacked(record))
        self._servers.wait_ready(revision)
        if self._ways.on_crash is OnCrash.RESTART:
            # Only now: one that cannot start at all is told at once.
            self._servers.keep(revision)
        logger.info("canary is ready", extra={"revision": revision, "port": port})
        self._proxy.add_cluster(revision, port)

    def route(self, record: ReleaseRecord, copied: Copied | None = None) -> None:
        """Split the traffic as the record's phase says, and lead previews to the canary."""
        previews = {self._ways.preview: record.canary} if self._ways.preview else None
        self._proxy.route(record.service, split(record), previews, copied)

    def mirror(self, record: ReleaseRecord) -> None:
        """Send a canary copies of requests for as long as is set, if that is set.

        Raises:
            CoalmineError: Its server did not live through it.
        """
        revision, mirror = record.canary, self._ways.mirror
        if mirror is None or not record.stable:
            return
        copied = Copied(mirror_of(revision), mirror.percent, mirror.methods)
        self._proxy.add_cluster(copied.cluster, self._servers.port(revision))
        self.route(record, copied)
        logger.info("mirrored", extra={"revision": revision, "percent": mirror.percent})
        hold = mirror.hold.total_seconds()
        wait_for(lambda: not self._servers.runs(revision), seconds=hold, every=0.2)
        self.end_mirror(record)
        self._servers.wait_ready(revision)

    def end_mirror(self, record: ReleaseRecord) -> None:
        """Send no more copies, also where a step was cut off while it did."""
        name = mirror_of(record.canary)
        if self._proxy.knows(name):
            self.route(record)
            self._proxy.remove_cluster(name)

    def check_alive(self, record: ReleaseRecord, so: str) -> None:
        """See that a canary serves, before something is decided for it.

        Args:
            record: The release.
            so: What does not happen if it does not.

        Raises:
            InputError: It has ended, and stays ended.
            CoalmineError: It is started again and again, and does not come to serve.
        """
        revision = record.canary
        if self._servers.is_kept(revision):
            self._servers.wait_serving(revision)
        elif fault := self._servers.fault(revision):
            # It is not started again, so a second try would find it as dead, while users still get
            # its share of errors: end the run at once and let it be taken away.
            raise InputError(
                f"the canary {revision} {fault}, so it {so}",
                fix=f"see its log: server-{revision}.log",
            )

    def _unpacked(self, record: ReleaseRecord) -> Path:
        folder = self._servers.folder(record.canary)
        marker = folder / "unpacked.json"
        if not marker.exists():
            shutil.rmtree(folder / "image", ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            bento = self._unpack(record.canary_image, folder / "image")
            note = {"image": record.canary_image, "bento": str(bento.relative_to(folder))}
            write_atomic(marker, json.dumps(note) + "\n")
        return folder / str(json.loads(marker.read_text())["bento"])
