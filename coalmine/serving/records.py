"""The records of all services, as one file each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.serving.protocol import Phase, ReleaseRecord

__all__ = ["Records"]

LOCK_SECONDS = 600.0


class Records:
    """The records in one folder.

    Args:
        folder: Where they are; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def services(self) -> list[str]:
        """Name every service that ever had a release."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def read(self, service: str) -> ReleaseRecord | None:
        """Give a service's newest record; None if it never had a release.

        Raises:
            CoalmineError: The file is no record.
        """
        path = self._path(service)
        try:
            return _from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise CoalmineError(f"{path} is no release record: {error}") from None

    def write(self, record: ReleaseRecord) -> None:
        """Keep a record, whole or not at all."""
        fields = asdict(record)
        if record.canary_since:
            fields["canary_since"] = record.canary_since.isoformat()
        write_atomic(self._path(record.service), json.dumps(fields, indent=2) + "\n")

    @contextlib.contextmanager
    def locked(self, service: str) -> Iterator[None]:
        """Hold off every other change of a service, in any process; a holder's death frees it.

        Raises:
            CoalmineError: Another change takes too long.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{service}.lock")
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise CoalmineError(
                f"another change of the service {service} has not ended in {LOCK_SECONDS:g} s"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _path(self, service: str) -> Path:
        return self._folder / f"{service}.json"


def _from_json(fields: dict[str, Any]) -> ReleaseRecord:
    since = fields.pop("canary_since", None)
    return ReleaseRecord(
        **{**fields, "phase": Phase(fields["phase"])},
        canary_since=datetime.fromisoformat(since) if since else None,
    )
