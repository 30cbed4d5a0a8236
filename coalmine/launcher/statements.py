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


BY = {
    True: ("INDEXED BY open_releases_of_a_service ", "INDEXED BY waiting_releases_of_a_service "),
    False: ("", ""),
}
"""Left alone, SQLite takes the index of the states, and looks at each release."""


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
        self.older_that_wait = text(_older_that_wait(listed.format("promoted"), sqlite=sqlite))
        # In the words of the driver itself: the dispatcher asks for these again and again, and
        # SQLAlchemy's way to each takes ten times as long as the statement.
        mark = ":{0}" if sqlite else "%({0})s"
        among = listed.replace(":{0}", mark)
        self.free_services = _free_services(mark.format("limit"), sqlite=sqlite)
        self.next_of = _next_of(among.format("services"), sqlite=sqlite)
        self.begin = (
            f"UPDATE release SET state = 'running', owner = {mark.format('owner')}, "  # noqa: S608 - constants
            f"started_at = {mark.format('at')} "
            f"WHERE id IN (SELECT value FROM {among.format('ids')})"
        )


def _free_services(limit: str, *, sqlite: bool) -> str:
    """Ask which services have a release that waits and none that runs, the oldest release first.

    It goes from service to service through the index, past all the others that wait there: where
    thousands wait for a few services, it takes a thousandth of the time of a look at each.
    """
    waits = f"FROM release {BY[sqlite][1]}WHERE state = 'accepted'"
    return (
        f"WITH RECURSIVE line(service) AS (SELECT min(service) {waits} UNION ALL "  # noqa: S608 - constants
        f"SELECT (SELECT min(service) {waits} AND release.service > line.service) FROM line "
        "WHERE line.service IS NOT NULL) "
        f"SELECT service, (SELECT min(seq) {waits} AND release.service = line.service) AS first "
        "FROM line WHERE service IS NOT NULL AND NOT EXISTS (SELECT 1 FROM release "
        "WHERE state = 'running' AND release.service = line.service) "
        f"ORDER BY first LIMIT {limit}"
    )


def _next_of(services: str, *, sqlite: bool) -> str:
    """Ask for the oldest release that waits of each service that has none that runs."""
    return (
        "SELECT id FROM release WHERE seq IN (SELECT (SELECT min(seq) "  # noqa: S608 - constants
        f"FROM release {BY[sqlite][1]}WHERE state = 'accepted' AND release.service = one.value) "
        f"FROM {services} one WHERE NOT EXISTS ("
        "SELECT 1 FROM release WHERE state = 'running' AND release.service = one.value)) "
        "ORDER BY seq"
    )


def _older_that_wait(promoted: str, *, sqlite: bool) -> str:
    """Ask for what has not ended and is older than a promotion, past all that has ended."""
    by, join = BY[sqlite][0], "CROSS JOIN" if sqlite else "JOIN"  # SQLite keeps to that order
    return (
        f"SELECT older.id, newer.id AS newer FROM release newer {join} release older {by}"  # noqa: S608 - constants
        "ON older.service = newer.service AND older.seq < newer.seq "
        f"WHERE newer.id IN (SELECT value FROM {promoted}) AND newer.state = 'promoted' "
        "AND older.state IN ('accepted', 'running') ORDER BY older.seq"
    )
