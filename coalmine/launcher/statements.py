"""Statements that are the same for every release, in the words of each database."""

from __future__ import annotations

from sqlalchemy import text

__all__ = ["NEWER_OPEN", "Statements"]

# The states stand in them as in the index, which SQLite would not take otherwise.
NEWER_OPEN = text(
    "SELECT id FROM release WHERE state IN ('accepted', 'running') "
    "AND service = :service AND seq > :seq ORDER BY seq LIMIT 1"
)

DATABASE_NOW = {
    True: "(julianday('now') - 2440587.5) * 86400.0",
    False: "extract(epoch FROM clock_timestamp())",
}


BY = "INDEXED BY open_releases_of_a_service "


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
        self.older_that_wait = text(_older_that_wait(sqlite=sqlite))
        self.any_startable = text(_any_startable(sqlite=sqlite))
        self.startable = text(
            "SELECT id FROM release WHERE state = 'accepted' AND NOT EXISTS ("
            "SELECT 1 FROM release other WHERE other.service = release.service "
            "AND other.state IN ('accepted', 'running') "
            "AND (other.seq < release.seq OR other.state = 'running')) "
            "ORDER BY seq LIMIT :limit"
        )


def _any_startable(*, sqlite: bool) -> str:
    """Ask whether a service has a release that waits and none that runs.

    It goes from service to service through the index, past all the others that wait there: where
    thousands wait for a few services, it takes a thousandth of the time of a look at each.
    """
    # Left alone, SQLite takes the index of the states, and looks at each.
    by = BY if sqlite else ""
    least = f"SELECT min(service) FROM release {by}WHERE state IN ('accepted', 'running')"  # noqa: S608 - constants
    return (
        f"WITH RECURSIVE line(service) AS ({least} UNION ALL "  # noqa: S608 - constants
        f"SELECT ({least} AND release.service > line.service) FROM line "
        "WHERE line.service IS NOT NULL) "
        "SELECT 1 FROM line WHERE EXISTS (SELECT 1 FROM release WHERE state = 'accepted') "
        "AND service IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release "
        "WHERE state = 'running' AND release.service = line.service) LIMIT 1"
    )


def _older_that_wait(*, sqlite: bool) -> str:
    """Ask for what has not ended and is older than a promotion, past all that has ended."""
    promoted = "FROM release WHERE id = :id AND state = 'promoted'"
    return (
        f"SELECT id FROM release {BY if sqlite else ''}WHERE state IN ('accepted', 'running') "  # noqa: S608 - constants
        f"AND service = (SELECT service {promoted}) AND seq < (SELECT seq {promoted}) ORDER BY seq"
    )
