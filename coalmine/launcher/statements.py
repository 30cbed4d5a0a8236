"""Statements that take many rows as one JSON value, in the words of each database.

One statement a group, however large: a thread that steps through rows one by one hands over
Python's lock at each, and gets it back late from an event loop that is busy.
"""

from __future__ import annotations

from sqlalchemy import JSON, Float, Integer, Table, TextClause, text

from coalmine.launcher.tables import CLAIMS, RELEASES

__all__ = ["Statements"]

ACCEPTED = (
    "id", "service", "name", "version", "state", "event_source", "event_id", "event_type",
    "event_attributes", "binding", "pipeline", "engine", "parameters", "requested_at",
)  # fmt: skip
DATABASE_NOW = {
    True: "(julianday('now') - 2440587.5) * 86400.0",
    False: "extract(epoch FROM clock_timestamp())",
}


class Statements:
    """The statements for one database.

    Args:
        sqlite: Whether it is SQLite; else it is PostgreSQL.
    """

    def __init__(self, *, sqlite: bool) -> None:
        listed = "json_each(:{0})" if sqlite else "json_array_elements_text(CAST(:{0} AS json))"

        def chosen(columns: str, table: str, key: str, rest: str = "") -> TextClause:
            given = f"SELECT value FROM {listed.format('given')}"  # noqa: S608 - constants
            return text(f"SELECT {columns} FROM {table} WHERE {key} IN ({given}){rest}")  # noqa: S608 - constants

        now = DATABASE_NOW[sqlite]
        self.states = chosen("id, state", "release", "id")
        self.claims = chosen("key, release_id, at", "claim", "key")
        self.open = chosen(
            "id, service",
            "release",
            "service",
            " AND state IN ('accepted', 'running') ORDER BY seq",
        )
        self.insert_releases = text(_insert(RELEASES, ACCEPTED, sqlite=sqlite))
        conflict = " ON CONFLICT (key) DO UPDATE SET release_id = excluded.release_id, "
        self.write_claims = text(
            _insert(CLAIMS, ("key", "release_id", "at"), sqlite=sqlite)
            + conflict
            + "at = excluded.at"
        )
        self.heartbeat = text(
            f"INSERT INTO launcher (id, seen_at, url) VALUES (:id, {now}, :url) "  # noqa: S608 - constants
            f"ON CONFLICT (id) DO UPDATE SET seen_at = {now}, url = excluded.url"
        )
        self.take_over = text(
            "UPDATE release SET owner = :owner WHERE state = 'running' AND owner <> :owner "  # noqa: S608 - constants
            f"AND engine IN (SELECT value FROM {listed.format('engines')}) "
            "AND NOT EXISTS (SELECT 1 FROM launcher WHERE launcher.id = release.owner "
            f"AND launcher.seen_at > {now} - :lease)"
        )
        self.startable = text(
            "SELECT id FROM release WHERE state = 'accepted' AND NOT EXISTS ("
            "SELECT 1 FROM release other WHERE other.service = release.service "
            "AND other.state IN ('accepted', 'running') "
            "AND (other.seq < release.seq OR other.state = 'running')) "
            "ORDER BY seq LIMIT :limit"
        )


def _insert(table: Table, names: tuple[str, ...], *, sqlite: bool) -> str:
    columns = ", ".join(names)
    if sqlite:
        fields = ", ".join(f"json_extract(value, '$.{name}')" for name in names)
        # 'WHERE true' keeps SQLite from reading ON CONFLICT as a join.
        source = f"SELECT {fields} FROM json_each(:given) WHERE true ORDER BY key"  # noqa: S608 - constants
    else:
        kinds = ", ".join(f"{name} {_kind(table, name)}" for name in names)
        source = (
            f"SELECT {columns} FROM ROWS FROM (json_to_recordset(CAST(:given AS json)) "  # noqa: S608 - constants
            f"AS ({kinds})) WITH ORDINALITY AS given({columns}, place) ORDER BY place"
        )
    return f"INSERT INTO {table.name} ({columns}) {source}"


def _kind(table: Table, name: str) -> str:
    kind = table.c[name].type
    if isinstance(kind, JSON):
        return "json"
    return "double precision" if isinstance(kind, Float | Integer) else "text"
