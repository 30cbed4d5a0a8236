"""What accepting reads and writes, in the words of each database's own driver.

It is the one path where the time of every statement counts, and where many rows go at once. So rows
go in few statements, however many they are: a thread that steps through rows one by one hands over
Python's lock at each, and gets it back late from an event loop that is busy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from coalmine.launcher.admission import Claim, Group, Known
from coalmine.launcher.database import ORDER_LOCK
from coalmine.launcher.release import Conflict, NewRelease, ReleaseState

__all__ = ["Accepting", "PostgresAccepting", "SqliteAccepting"]

GIVEN = (
    "id", "service", "name", "version", "event_source", "event_id", "event_type", "binding",
    "pipeline", "engine",
)  # fmt: skip
COLUMNS = (*GIVEN, "event_attributes", "parameters", "state", "requested_at")
INTO = f"INSERT INTO release ({', '.join(COLUMNS)})"
CLAIM = "INSERT INTO claim (key, release_id, at)"
ANEW = "ON CONFLICT (key) DO UPDATE SET release_id = excluded.release_id, at = excluded.at"
MOST_ROWS = 64
"""In one statement."""
_given_of = attrgetter(*GIVEN)
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Accepting(Protocol):
    """Reads and writes in a transaction that is open."""

    def known(self, driver: Any, groups: Sequence[Group]) -> Known:  # noqa: ANN401 - DB-API
        """Read what is known of the releases that are asked for; nobody accepts any meanwhile."""

    def insert(self, driver: Any, releases: Sequence[NewRelease], moment: str) -> None:  # noqa: ANN401
        """Write new releases, in their order."""

    def claim(self, driver: Any, claims: Mapping[str, Claim]) -> None:  # noqa: ANN401
        """Write claims by their keys."""


class SqliteAccepting:
    """For SQLite."""

    def known(self, driver: Any, groups: Sequence[Group]) -> Known:  # noqa: ANN401
        """See `Accepting`; the transaction keeps the others away."""
        keys, services = _asked(groups)
        listed = "SELECT value FROM json_each(?)"
        return _known(
            driver.execute(_claims(f"IN ({listed})"), (_json(keys),)),
            driver.execute(_states(f"IN ({listed})"), (_json(keys), _json(keys))),
            driver.execute(_open(f"IN ({listed})"), (_json(services),)) if services else (),
        )

    def insert(self, driver: Any, releases: Sequence[NewRelease], moment: str) -> None:  # noqa: ANN401
        """See `Accepting`."""
        one = f"({', '.join('?' * len(COLUMNS))})"
        begin = 0
        while begin < len(releases):
            # Powers of two, so that there are few statements, which SQLite keeps prepared.
            rows = min(MOST_ROWS, 1 << ((len(releases) - begin).bit_length() - 1))
            values: list[str] = []
            for release in releases[begin : begin + rows]:
                values += _row(release, moment)
            driver.execute(f"{INTO} VALUES {', '.join([one] * rows)}", values)
            begin += rows

    def claim(self, driver: Any, claims: Mapping[str, Claim]) -> None:  # noqa: ANN401
        """See `Accepting`."""
        for key, one in claims.items():
            driver.execute(f"{CLAIM} VALUES (?, ?, ?) {ANEW}", (key, one.release_id, one.at))


class PostgresAccepting:
    """For PostgreSQL: one round trip to read and one to write, with psycopg's pipeline."""

    def known(self, driver: Any, groups: Sequence[Group]) -> Known:  # noqa: ANN401
        """See `Accepting`; a lock keeps the others away."""
        keys, services = _asked(groups)
        with driver.pipeline():
            driver.execute("SELECT pg_advisory_xact_lock(%s)", (ORDER_LOCK,))
            claims = driver.execute(_claims("= ANY(%s)"), (keys,))
            states = driver.execute(_states("= ANY(%s)"), (keys, keys))
            opened = driver.execute(_open("= ANY(%s)"), (services,)) if services else ()
            return _known(claims, states, opened)

    def insert(self, driver: Any, releases: Sequence[NewRelease], moment: str) -> None:  # noqa: ANN401
        """See `Accepting`."""
        columns = [
            list(column) for column in zip(*(_row(one, moment) for one in releases), strict=True)
        ]
        names = ", ".join(COLUMNS)
        said = ", ".join(
            f"{one}::json" if one in {"event_attributes", "parameters"} else one for one in COLUMNS
        )
        given = ", ".join(["%s::text[]"] * len(COLUMNS))
        source = f"unnest({given}) WITH ORDINALITY AS given({names}, place)"
        driver.execute(f"{INTO} SELECT {said} FROM {source} ORDER BY place", columns)  # noqa: S608

    def claim(self, driver: Any, claims: Mapping[str, Claim]) -> None:  # noqa: ANN401
        """See `Accepting`."""
        rows = [(key, one.release_id, one.at) for key, one in claims.items()]
        with driver.cursor() as cursor:
            cursor.executemany(f"{CLAIM} VALUES (%s, %s, %s) {ANEW}", rows)


def _asked(groups: Iterable[Group]) -> tuple[list[str], list[str]]:
    """Give the keys under which releases are asked for, and the services where it matters."""
    keys: list[str] = []
    services: list[str] = []
    for group in groups:
        for one in group:
            keys.append(one.id)
            if one.content_key:
                keys.append(one.content_key)
            if one.on_conflict is not Conflict.QUEUE:
                services.append(one.service)
    return keys, services


def _claims(among: str) -> str:
    return f"SELECT key, release_id, at FROM claim WHERE key {among}"  # noqa: S608 - constants


def _states(among: str) -> str:
    """Ask for the releases of these ids, and for those that bear a claim of these keys."""
    claimed = f"SELECT release_id FROM claim WHERE key {among}"  # noqa: S608 - constants
    return (
        f"SELECT id, state FROM release WHERE id {among} "  # noqa: S608 - constants
        f"UNION SELECT id, state FROM release WHERE id IN ({claimed})"
    )


def _open(among: str) -> str:
    return (
        f"SELECT service, id FROM release WHERE service {among} "  # noqa: S608 - constants
        "AND state IN ('accepted', 'running') ORDER BY seq"
    )


def _known(
    claims: Iterable[tuple[str, str, float]],
    states: Iterable[tuple[str, str]],
    opened: Iterable[tuple[str, str]],
) -> Known:
    known = Known({}, {key: Claim(release_id, at) for key, release_id, at in claims})
    known.states.update(states)
    for service, release_id in opened:
        known.open.setdefault(service, []).append(release_id)
    return known


def _row(release: NewRelease, moment: str) -> tuple[str, ...]:
    attributes, parameters = _json(release.event_attributes), _json(release.parameters)
    return (*_given_of(release), attributes, parameters, ReleaseState.ACCEPTED.value, moment)
