"""The ledger's database: SQLite for one launcher, PostgreSQL for several."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.tables import METADATA
from coalmine.launcher.turn import Turns

__all__ = ["Database", "known_url", "ledger_url", "open_engine"]

ORDER_LOCK = 0x636F616C
"""The advisory lock under which releases are put in order; PostgreSQL's numbers for rows alone
are handed out before the commit, and so tell nothing of its order."""
BUSY_MILLISECONDS = 2000
CONNECT_SECONDS = 5


def ledger_url(state: Path) -> URL:
    """Give the URL of the ledger in a state folder, whatever characters its path has."""
    return URL.create("sqlite", database=str(state / "ledger.db"))


class Database:
    """Connections, and transactions that say in sentences what is wrong.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``.

    Raises:
        InputError: It is no such URL, or the ledger in it is not of this version.
        CoalmineError: The database cannot be used.
    """

    def __init__(self, url: str | URL) -> None:
        self._engine = open_engine(known_url(url))
        self.sqlite = self._engine.dialect.name == "sqlite"
        # One writer at a time is what SQLite allows.
        self._turns: Turns | None = None
        try:
            self._turns = Turns(Path(f"{self._engine.url.database}-turn")) if self.sqlite else None
            self._make_tables()
        except (SQLAlchemyError, OSError) as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()
        if self._turns:
            self._turns.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._told(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, in_order: bool = False) -> Iterator[Connection]:
        """Open a transaction that writes.

        Args:
            in_order: No other transaction of this kind runs at the same time, on any launcher.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.turn())
            stack.enter_context(self._told())
            connection = stack.enter_context(self._engine.connect())
            stack.enter_context(connection.execution_options(writes=True).begin())
            if in_order:
                self._get_in_line(connection)
            yield connection

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Wait for the turn to write, where only one may at a time, and have it for the block."""
        return self._turns.take() if self._turns else contextlib.nullcontext()

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        """Try to be the only launcher that does something; tells whether this is the one.

        Args:
            what: The thing that only one may do at a time.
        """
        if self.sqlite:  # it is for one launcher
            yield True
            return
        number = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
        with self._told(), self._engine.begin() as connection:
            query = text("SELECT pg_try_advisory_xact_lock(:n)")
            yield bool(connection.execute(query, {"n": number}).scalar())

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            self._get_in_line(connection)  # two that begin at once would both make them
            METADATA.create_all(connection)
            found = inspect(connection)
            for table in METADATA.sorted_tables:
                for index in table.indexes:  # one that is newer than the table
                    index.create(connection, checkfirst=True)
                there = {column["name"] for column in found.get_columns(table.name)}
                for column in table.columns:
                    if column.name not in there:
                        self._add(connection, table, column)

    def _add(self, connection: Connection, table: Table, column: Column[Any]) -> None:
        """Add a column that is newer than the table; an older launcher does not miss it."""
        if not (column.nullable or column.server_default):
            raise InputError(
                f"the ledger {self._name()} is of another version of coalmine: "
                f"{table.name} has no {column.name}",
                fix="use the version that wrote it, or another state folder or database",
            )
        said = CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {said}"))

    def _get_in_line(self, connection: Connection) -> None:
        if not self.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": ORDER_LOCK})

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise self._unusable(error) from error

    def _name(self) -> str:
        return self._engine.url.render_as_string()

    def _unusable(self, error: Exception) -> CoalmineError:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        fix = "see that its folder can be written and its disk is not full"
        return CoalmineError(
            f"the ledger {self._name()} cannot be used: {cause}",
            fix=fix if self.sqlite else "see that the database runs and can be reached from here",
        )


def known_url(url: str | URL) -> URL:
    """Read the URL of a ledger.

    Raises:
        InputError: It is none.
    """
    try:
        made = make_url(url)
    except ArgumentError:
        made = URL.create("")
    if made.get_backend_name() == "postgresql":
        return made.set(drivername="postgresql+psycopg")
    if made.get_backend_name() == "sqlite" and made.database:
        return made
    raise InputError(
        "it is no URL of a database that can hold the ledger",
        field="--database",
        fix="give postgresql://USER@HOST/NAME, or leave it out for a file in the state folder",
    )


def open_engine(url: URL) -> Engine:
    """Make what gives connections; none is made yet.

    Raises:
        InputError: The driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                # A database that went away without a word is noticed by the kernel.
                "keepalives_idle": CONNECT_SECONDS,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": 1000 * CONNECT_SECONDS,
            },
        )
    except ImportError:
        raise InputError(
            "PostgreSQL needs its driver", fix='pip install "coalmine[postgres]"'
        ) from None


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - DB-API
    """Write ahead, reach the disk at every commit, and leave BEGIN to us."""
    connection.isolation_level = None
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
    for pragma in (f"busy_timeout={BUSY_MILLISECONDS}", *pragmas):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
