"""The ledger's tables. Moments are RFC 3339 texts in UTC, so that they sort and read the same."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = [
    "ANSWERS",
    "CLAIMS",
    "DEAD_LETTERS",
    "HOLDS",
    "LAUNCHERS",
    "METADATA",
    "OUTBOX",
    "RELEASES",
    "TASKS",
    "moment_text",
]

METADATA = MetaData()

RELEASES = Table(
    "release",
    METADATA,
    # Grows in the order of acceptance, which is the order in which a service's releases run.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("service", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("version", String(63), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("verdict", String(32), nullable=False, default="", server_default=""),
    Column("reason", Text, nullable=False, default="", server_default=""),
    Column("image_digest", String(128), nullable=False, default="", server_default=""),
    Column("outcome", String(32), nullable=False, default="", server_default=""),
    Column("event_source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("event_attributes", JSON, nullable=False),
    Column("binding", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("engine", String(16), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("requested_at", String(32), nullable=False),
    Column("started_at", String(32)),
    # When its engine was first seen to have its run; from then on it is never submitted again.
    Column("submitted_at", String(32)),
    Column("ended_at", String(32)),
    # The launcher that drives it, once it runs.
    Column("owner", String(32), nullable=False, default="", server_default=""),
    # Why its run shall end; empty while it may go on.
    Column("cancel_reason", Text, nullable=False, default="", server_default=""),
    # From 1 on; one more each time that it was dead and is put back in line.
    Column("attempt", Integer, nullable=False, default=1, server_default="1"),
    sqlite_autoincrement=True,
)
OPEN = RELEASES.c.state.in_(("accepted", "running"))
Index(
    "open_releases_of_a_service",
    RELEASES.c.service,
    RELEASES.c.seq,
    sqlite_where=OPEN,
    postgresql_where=OPEN,
)
WAITING = RELEASES.c.state == "accepted"
Index(
    "waiting_releases_of_a_service",
    RELEASES.c.service,
    RELEASES.c.seq,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)
Index("releases_of_a_service", RELEASES.c.service, RELEASES.c.seq)
RUNNING = RELEASES.c.state == "running"
Index(
    "one_running_release_per_service",
    RELEASES.c.service,
    unique=True,
    sqlite_where=RUNNING,
    postgresql_where=RUNNING,
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

# Canaries that their gates hold for a person.
HOLDS = Table(
    "hold",
    METADATA,
    Column("release_id", String(16), ForeignKey("release.id"), primary_key=True),
    Column("since", String(32), nullable=False),
    Column("reason", Text, nullable=False),
)

# What is to be told to others, written with what it tells of, removed when a sink has taken it.
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("sink", Text, nullable=False),
    Column("release_id", String(16), ForeignKey("release.id"), nullable=False),
    Column("what", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("facts", JSON, nullable=False),
    # The release's, when it happened: what happens once more is another event.
    Column("attempt", Integer, nullable=False, default=1, server_default="1"),
    sqlite_autoincrement=True,
)
Index("outbox_of_a_sink", OUTBOX.c.sink, OUTBOX.c.seq)

# What a sink would not take for so long that it is offered no more.
DEAD_LETTERS = Table(
    "dead_letter",
    METADATA,
    # Its place in the outbox, where it may be put back.
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("sink", Text, nullable=False, index=True),
    Column("release_id", String(16), ForeignKey("release.id"), nullable=False),
    Column("what", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error", Text, nullable=False),
)

# Requests that mean a release under another name than its own id.
CLAIMS = Table(
    "claim",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("release_id", String(16), nullable=False),
    # Seconds since 1970, by the clock of the launcher that wrote it.
    Column("at", Float(53), nullable=False),
)

LAUNCHERS = Table(
    "launcher",
    METADATA,
    Column("id", String(32), primary_key=True),
    # Seconds since 1970, by the database's clock: launchers' own may differ.
    Column("seen_at", Float(53), nullable=False),
    # Under which others reach it.
    Column("url", Text, nullable=False, default="", server_default=""),
)


def moment_text(moment: datetime | None) -> str | None:
    """Write a moment as RFC 3339 in UTC, to the microsecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
