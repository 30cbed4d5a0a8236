"""Releases as programs and people read them; needs no running launcher and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.outbox import Waiting, select_waiting
from coalmine.launcher.query import EVERYTHING, Query, releases_of
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import RELEASES, TASKS

__all__ = [
    "Entry",
    "Page",
    "read_release",
    "read_releases",
    "read_waiting",
    "select_page",
    "select_release",
    "select_releases",
]

T = TypeVar("T")
Entry = dict[str, object]
"""One release, as ``coalmine runs -o json`` prints it."""
FACTS = (
    "id", "service", "name", "version", "engine", "state", "verdict", "reason", "image_digest",
)  # fmt: skip
MOMENTS = ("requested_at", "started_at", "ended_at")
STEP = ("name", "state", "attempts", "started_at", "ended_at", "outputs", "message")


def read_releases(state: Path, query: Query | None = None) -> list[Entry]:
    """Read releases from the ledger in a state folder, the oldest first.

    Args:
        state: The folder.
        query: Which ones: the newest that it takes; every one there is unless given.

    Returns:
        One mapping a release, as ``coalmine runs -o json`` prints it.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    if query is None:
        return _read(state, select_releases)
    return _read(state, lambda connection: select_page(connection, query).entries[::-1])


def read_release(state: Path, release_id: str) -> Entry:
    """Read one release, by its id or an unambiguous beginning of it.

    Raises:
        InputError: There is no such release, or no ledger.
        CoalmineError: The ledger cannot be read.
    """
    found = read_releases(state, Query(beginning=release_id))
    whole = [one for one in found if one["id"] == release_id] or found
    if len(whole) != 1:
        what = "no release" if not found else f"{len(found)} releases"
        raise InputError(f"{what} with the id {release_id} in {state}", fix="see: coalmine runs")
    return whole[0]


def read_waiting(state: Path) -> list[Waiting]:
    """Read what each sink has yet to be told.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    return _read(state, select_waiting)


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


def _read(state: Path, query: Callable[[Connection], T]) -> T:
    path = state / "ledger.db"
    if not path.is_file():
        raise InputError(
            f"there are no releases in {state}", fix="name the state folder with --state"
        )
    engine = create_engine(_read_only_url(path))
    try:
        with engine.connect() as connection:
            return query(connection)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        if "no such table" in str(cause):  # a launcher is making the ledger at this moment
            raise InputError(
                f"there are no releases in {state} yet", fix="ask again in a moment"
            ) from None
        raise CoalmineError(f"the ledger {path} cannot be read: {cause}") from None
    finally:
        engine.dispose()


def _read_only_url(path: Path) -> URL:
    # Quoted: a path may hold what a URI takes for its own: '?', '#', '%'.
    return URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    )


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
