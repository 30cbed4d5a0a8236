"""Releases as programs and people read them; needs no running launcher and no engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from coalmine._base.errors import InputError
from coalmine.launcher.outbox import Waiting, select_waiting
from coalmine.launcher.place import opened
from coalmine.launcher.query import EVERYTHING, Query, releases_of
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.statements import NEWER_OPEN
from coalmine.launcher.tables import RELEASES, TASKS

__all__ = [
    "Entry",
    "Page",
    "count_by_state",
    "newer_open",
    "newer_promotion",
    "read_release",
    "read_releases",
    "read_waiting",
    "select_page",
    "select_release",
    "select_releases",
]

Entry = dict[str, object]
"""One release, as ``coalmine runs -o json`` prints it."""
FACTS = (
    "id", "service", "name", "version", "engine", "state", "verdict", "reason", "image_digest",
)  # fmt: skip
MOMENTS = ("requested_at", "started_at", "ended_at")
STEP = ("name", "state", "attempts", "started_at", "ended_at", "outputs", "message")


def read_releases(state: Path, query: Query | None = None, *, database: str = "") -> list[Entry]:
    """Read releases from the ledger in a state folder, the oldest first.

    Args:
        state: The folder.
        database: URL of a ledger that is read in place of the folder's.
        query: Which ones: the newest that it takes; every one there is unless given.

    Returns:
        One mapping a release, as ``coalmine runs -o json`` prints it.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    with opened(state, database) as connection:
        if query is None:
            return select_releases(connection)
        return select_page(connection, query).entries[::-1]


def read_release(state: Path, release_id: str, *, database: str = "") -> Entry:
    """Read one release, by its id or an unambiguous beginning of it.

    Raises:
        InputError: There is no such release, or no ledger.
        CoalmineError: The ledger cannot be read.
    """
    found = read_releases(state, Query(beginning=release_id), database=database)
    whole = [one for one in found if one["id"] == release_id] or found
    if len(whole) != 1:
        what = "no release" if not found else f"{len(found)} releases"
        place = "the database" if database else state
        raise InputError(f"{what} with the id {release_id} in {place}", fix="see: coalmine runs")
    return whole[0]


def read_waiting(state: Path, *, database: str = "") -> list[Waiting]:
    """Read what each sink has yet to be told.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    with opened(state, database) as connection:
        return select_waiting(connection)


def count_by_state(connection: Connection) -> dict[str, int]:
    """Count releases over an open connection, by every state there is."""
    query = select(RELEASES.c.state, func.count()).group_by(RELEASES.c.state)
    found = {state: count for state, count in connection.execute(query)}  # noqa: C416 - rows
    return {state.value: found.get(state.value, 0) for state in ReleaseState}


def newer_promotion(connection: Connection, release: Mapping[Any, Any]) -> str:
    """Find a newer release of the same service that was promoted; empty if there is none."""
    newer = select(RELEASES.c.id).where(
        RELEASES.c.service == release["service"],
        RELEASES.c.seq > release["seq"],
        RELEASES.c.state == ReleaseState.PROMOTED.value,
    )
    return connection.execute(newer.limit(1)).scalar() or ""


def newer_open(connection: Connection, release: Mapping[Any, Any]) -> str:
    """Find a newer release of the same service that has not ended; empty if there is none."""
    found = connection.execute(NEWER_OPEN, {"service": release["service"], "seq": release["seq"]})
    return found.scalar() or ""


def select_releases(connection: Connection) -> list[Entry]:
    """Read every release over an open connection, the oldest first."""
    # Releases first: a change between the two reads must not show an end without its last steps.
    rows = connection.execute(EVERYTHING.order_by(RELEASES.c.seq)).mappings().all()
    steps = _steps(connection.execute(select(TASKS).order_by(TASKS.c.position)).mappings())
    return [_entry(row, steps.get(row["id"], [])) for row in rows]


@dataclass(frozen=True, slots=True)
class Page:
    """Some releases.

    Attributes:
        entries: They, the newest first.
        following: Asks for the next; None if there are no more.
    """

    entries: list[Entry]
    following: Query | None


def select_page(connection: Connection, query: Query) -> Page:
    """Read a page of releases over an open connection, the newest first."""
    rows = connection.execute(releases_of(query)).mappings().all()
    chosen = rows[: query.limit]
    ids = [row["id"] for row in chosen]
    wanted = select(TASKS).where(TASKS.c.release_id.in_(ids)).order_by(TASKS.c.position)
    steps = _steps(connection.execute(wanted).mappings())
    following = query.older(chosen[-1]["seq"]) if len(rows) > len(chosen) else None
    return Page([_entry(row, steps.get(row["id"], [])) for row in chosen], following)


def select_release(connection: Connection, release_id: str) -> Entry | None:
    """Read one release over an open connection; None if there is none of this id."""
    row = connection.execute(EVERYTHING.where(RELEASES.c.id == release_id)).mappings().first()
    if row is None:
        return None
    query = select(TASKS).where(TASKS.c.release_id == release_id).order_by(TASKS.c.position)
    return _entry(row, _steps(connection.execute(query).mappings()).get(release_id, []))


def _steps(rows: Iterable[Mapping[Any, Any]]) -> dict[str, list[dict[str, object]]]:
    steps: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        steps.setdefault(row["release_id"], []).append({key: row[key] for key in STEP})
    return steps


def _entry(row: Mapping[Any, Any], steps: list[dict[str, object]]) -> Entry:
    return {
        **{key: row[key] for key in (*FACTS, *MOMENTS)},
        "answer": row["answer"] or "",
        "held": _held(row),
        "event": {key: row[f"event_{key}"] for key in ("source", "id", "type")},
        "steps": steps,
    }


def _held(row: Mapping[Any, Any]) -> dict[str, object] | None:
    if row["held_since"] is None or row["answer"] or row["state"] != ReleaseState.RUNNING:
        return None
    return {"since": row["held_since"], "reason": row["held_reason"]}
