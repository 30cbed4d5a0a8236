"""The ledger as one opens it who only reads: the file in a state folder, or a database by URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.database import known_url, open_engine
from coalmine.launcher.statements import DATABASE_NOW

__all__ = ["living_launcher", "opened"]

SEEN_SECONDS = 15.0
NO_TABLES = ("no such table", "does not exist")
"""How SQLite and PostgreSQL say that a launcher has yet to make them."""


@contextlib.contextmanager
def opened(state: Path, database: str = "") -> Iterator[Connection]:
    """Open the ledger to read, whether a launcher runs or not.

    Args:
        state: The state folder.
        database: URL of the ledger; empty for the file in the folder.

    Raises:
        InputError: There is none.
        CoalmineError: It cannot be read.
    """
    engine, what = _database(database) if database else _file(state / "ledger.db", str(state))
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(postgresql_readonly=True)
            yield connection
    except SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        if any(said in cause for said in NO_TABLES):
            raise InputError(
                f"there are no releases in {what} yet", fix="ask again in a moment"
            ) from None
        raise CoalmineError(f"the ledger {what} cannot be read: {cause}") from None
    finally:
        engine.dispose()


def living_launcher(state: Path, database: str) -> str:
    """Find a launcher that works with a database; gives its base URL.

    Raises:
        InputError: There is no such ledger.
        CoalmineError: None was seen within 15 seconds, or the ledger cannot be read.
    """
    with opened(state, database) as connection:
        now = DATABASE_NOW[connection.dialect.name == "sqlite"]
        query = text(
            f"SELECT url FROM launcher WHERE url <> '' AND seen_at > {now} - :lease "  # noqa: S608 - a constant
            "ORDER BY seen_at DESC LIMIT 1"
        )
        found = connection.execute(query, {"lease": SEEN_SECONDS}).scalar()
    if not found:
        raise CoalmineError(
            "no launcher works with this database now", fix="start one, or name one with --launcher"
        )
    return str(found)


def _database(database: str) -> tuple[Engine, str]:
    url = known_url(database)
    if url.get_backend_name() == "sqlite":
        return _file(Path(str(url.database)), url.render_as_string())
    return open_engine(url), url.render_as_string()


def _file(path: Path, what: str) -> tuple[Engine, str]:
    if not path.is_file():
        raise InputError(
            f"there are no releases in {what}", fix="name the state folder with --state"
        )
    return create_engine(_read_only_url(path)), what


def _read_only_url(path: Path) -> URL:
    # Quoted: a path may hold what a URI takes for its own: '?', '#', '%'.
    return URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    )
