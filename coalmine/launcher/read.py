"""Releases as programs and people read them; needs no running launcher and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.outbox import Waiting, select_waiting
from coalmine.launcher.tables import ANSWERS, RELEASES, TASKS

__all__ = ["read_release", "read_releases", "read_waiting", "select_release", "select_releases"]

T = TypeVar("T")
FACTS = ("id", "service", "name", "version", "state", "verdict", "reason", "image_digest")
MOMENTS = ("requested_at", "started_at", "ended_at")
ANSWERED = select(RELEASES, ANSWERS.c.answer).outerjoin(ANSWERS)
STEP = ("name", "state", "attempts", "started_at", "ended_at", "outputs", "message")


def read_releases(state: Path) -> list[dict[str, object]]:
    """Read every release from the ledger in a state folder, the oldest first.

    Returns:
        One mapping a release, as ``coalmine runs -o json`` prints it.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    return _read(state, select_releases)


def read_release(state: Path, release_id: str) -> dict[str, object]:
    """Read one release, by its id or an unambiguous beginning of it.

    Raises:
        InputError: There is no such release, or no ledger.
        CoalmineError: The ledger cannot be read.
    """
    found = [one for one in read_releases(state) if str(one["id"]).startswith(release_id)]
    if len(found) != 1:
        what = "no release" if not found else f"{len(found)} releases"
        raise InputError(f"{what} with the id {release_id} in {state}", fix="see: coalmine runs")
    return found[0]


def read_waiting(state: Path) -> list[Waiting]:
    """Read what each sink has yet to be told.

    Raises:
        InputError: The folder has no ledger.
        CoalmineError: The ledger cannot be read.
    """
    return _read(state, select_waiting)


def select_releases(connection: Connection) -> list[dict[str, object]]:
    """Read every release over an open connection."""
    # Releases first: a change between the two reads must not show an end without its last steps.
    rows = connection.execute(ANSWERED.order_by(RELEASES.c.seq)).mappings().all()
    steps = _steps(connection.execute(select(TASKS).order_by(TASKS.c.position)).mappings())
    return [_entry(row, steps.get(row["id"], [])) for row in rows]


def select_release(connection: Connection, release_id: str) -> dict[str, object] | None:
    """Read one release over an open connection; None if there is none of this id."""
    row = connection.execute(ANSWERED.where(RELEASES.c.id == release_id)).mappings().first()
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


def _entry(row: Mapping[Any, Any], steps: list[dict[str, object]]) -> dict[str, object]:
    return {
        **{key: row[key] for key in (*FACTS, *MOMENTS)},
        "answer": row["answer"] or "",
        "event": {key: row[f"event_{key}"] for key in ("source", "id", "type")},
        "steps": steps,
    }
