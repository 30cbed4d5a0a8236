"""What ``coalmine gc --history-days`` removes: releases, and what their runs wrote here."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["clean_releases"]

ID = re.compile(r"[a-z0-9]{1,16}")
FOLDERS = ("runs", "releases")
"""Of the state folder; in each a folder for every release."""


def clean_releases(state: Path, database: str, days: float, *, dry_run: bool) -> list[str]:
    """Remove the releases that ended more than some days ago, and their logs and evidence.

    Args:
        state: The state folder.
        database: URL of the ledger; empty for the one in the folder.
        days: How long releases are kept after their end.
        dry_run: Remove nothing.

    Returns:
        Their ids, the oldest first.

    Raises:
        InputError: There is no ledger.
        CoalmineError: It cannot be used.
    """
    from coalmine.launcher.clean import clean_history, old_releases  # noqa: PLC0415 - `--help`
    from coalmine.launcher.database import Database, ledger_url  # noqa: PLC0415
    from coalmine.launcher.place import opened  # noqa: PLC0415

    before = datetime.now(UTC) - timedelta(days=days)
    with opened(state, database) as connection:  # there is a ledger; a new one is not made
        found = old_releases(connection, before)
    if dry_run or not found:
        return found
    with contextlib.closing(Database(database or ledger_url(state))) as ledger:
        gone = clean_history(ledger, before)
    _remove_folders(state, gone)
    return gone


def _remove_folders(state: Path, releases: Iterable[str]) -> None:
    for release_id in filter(ID.fullmatch, releases):
        for kind in FOLDERS:
            shutil.rmtree(state / kind / release_id, ignore_errors=True)
