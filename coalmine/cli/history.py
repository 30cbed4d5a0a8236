"""What ``coalmine gc --history-days`` removes: releases, and what their runs wrote here."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["Forgotten", "clean_releases"]

ID = re.compile(r"[a-z0-9]{1,16}")
FOLDERS = ("runs", "releases")
"""Of the state folder; in each a folder for every release."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed.

    Attributes:
        releases: Their ids, the oldest first.
        runs: The number of runs in the local engine's record.
    """

    releases: Sequence[str] = ()
    runs: int = 0


def clean_releases(state: Path, database: str, days: float, *, dry_run: bool) -> Forgotten:
    """Remove the releases that ended more than some days ago, their runs, logs and evidence.

    Args:
        state: The state folder.
        database: URL of the ledger; empty for the one in the folder.
        days: How long releases are kept after their end.
        dry_run: Remove nothing.

    Raises:
        InputError: There is no ledger.
        CoalmineError: It cannot be used.
    """
    from coalmine.engines.local.clean import clean_runs  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.launcher.clean import clean_history, old_releases  # noqa: PLC0415
    from coalmine.launcher.database import Database, ledger_url  # noqa: PLC0415
    from coalmine.launcher.place import opened  # noqa: PLC0415

    before = datetime.now(UTC) - timedelta(days=days)
    with opened(state, database) as connection:  # there is a ledger; a new one is not made
        found = old_releases(connection, before)
    if not found:
        return Forgotten()
    # First, so that no run is left over whose release nobody knows any more.
    runs = clean_runs(state, found, dry_run=dry_run)
    if dry_run:
        return Forgotten(found, runs)
    with contextlib.closing(Database(database or ledger_url(state))) as ledger:
        gone = clean_history(ledger, before)
    late = set(gone) - set(found)  # its last sink took its last event just now
    runs += clean_runs(state, late, dry_run=False) if late else 0
    _remove_folders(state, gone)
    return Forgotten(gone, runs)


def _remove_folders(state: Path, releases: Iterable[str]) -> None:
    for release_id in filter(ID.fullmatch, releases):
        for kind in FOLDERS:
            shutil.rmtree(state / kind / release_id, ignore_errors=True)
