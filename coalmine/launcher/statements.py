"""Statements that are the same for every release, in the words of each database."""

from __future__ import annotations

from sqlalchemy import text

__all__ = ["Statements"]

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

        now = DATABASE_NOW[sqlite]
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
