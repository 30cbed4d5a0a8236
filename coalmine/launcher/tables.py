"""The ledger's tables. Moments are RFC 3339 texts in UTC, so that they sort and read the same."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

__all__ = ["ANSWERS", "METADATA", "RELEASES", "TASKS", "moment_now", "moment_text"]

METADATA = MetaData()

RELEASES = Table(
    "release",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("service", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("version", String(63), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("verdict", String(32), nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("image_digest", String(128), nullable=False, default=""),
    Column("outcome", String(32), nullable=False, default=""),
    Column("event_source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("binding", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("engine", String(16), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("requested_at", String(32), nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    sqlite_autoincrement=True,
)
Index("one_release_per_event", RELEASES.c.event_source, RELEASES.c.event_id, unique=True)
Index(
    "one_running_release_per_service",
    RELEASES.c.service,
    unique=True,
    sqlite_where=RELEASES.c.state == "running",
    postgresql_where=RELEASES.c.state == "running",
)

TASKS = Table(
    "task",
    METADATA,
    Column("release_id", String(16), ForeignKey("release.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("outputs", JSON, nullable=False),
    Column("message", Text, nullable=False),
)

ANSWERS = Table(
    "answer",
    METADATA,
    Column("release_id", String(16), ForeignKey("release.id"), primary_key=True),
    Column("answer", String(16), nullable=False),
    Column("answered_at", String(32), nullable=False),
)


def moment_now() -> str:
    """Write the present moment."""
    return str(moment_text(datetime.now(UTC)))


def moment_text(moment: datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC, to the microsecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
