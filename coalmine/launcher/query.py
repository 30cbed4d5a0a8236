"""Which releases are asked for: by service, state and time, a page at once, the newest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, and_, or_, select

from coalmine._base.errors import InputError
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import ANSWERS, HOLDS, RELEASES, moment_text

__all__ = ["HELD", "STATES", "Query", "parse_query", "parse_since", "releases_of"]

HELD = "held"
"""Running, and its gate holds the canary for a person who has not answered: no state of its own."""
STATES = (*(state.value for state in ReleaseState), HELD)
MOST = 1000
COLUMNS = select(
    RELEASES,
    ANSWERS.c.answer,
    HOLDS.c.since.label("held_since"),
    HOLDS.c.reason.label("held_reason"),
)
EVERYTHING = COLUMNS.select_from(
    RELEASES.outerjoin(ANSWERS).outerjoin(HOLDS, HOLDS.c.release_id == RELEASES.c.id)
)
"""Every release, with what is known of it beside."""
IS_HELD = and_(
    RELEASES.c.state == ReleaseState.RUNNING.value,
    HOLDS.c.release_id.is_not(None),
    ANSWERS.c.answer.is_(None),
)


class Field(StrEnum):
    """What a list can be asked by."""

    SERVICE = "service"
    STATE = "state"
    SINCE = "since"
    LIMIT = "limit"
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        service: Of this service; empty for any.
        states: In one of these states; empty for any.
        since: Asked for at this time or later; None for any.
        limit: At most so many.
        before: Older than the release of this number; None for the newest.
        beginning: What the id begins with.
    """

    service: str = ""
    states: tuple[str, ...] = ()
    since: datetime | None = None
    limit: int = 100
    before: int | None = None
    beginning: str = ""

    def older(self, seq: int) -> Query:
        """Ask for those that follow."""
        return replace(self, before=seq)

    def parameters(self) -> str:
        """Write it as the query of a URL."""
        given = [(Field.SERVICE, self.service)] if self.service else []
        given += [(Field.STATE, state) for state in self.states]
        given += [(Field.SINCE, moment_text(self.since) or "")] if self.since else []
        given += [(Field.LIMIT, str(self.limit))]
        given += [(Field.BEFORE, str(self.before))] if self.before is not None else []
        return urlencode([(field.value, text) for field, text in given])


def releases_of(query: Query) -> Select[tuple[object, ...]]:
    """Write a query as a statement; the newest first, and one more than the limit if there are."""
    wanted = EVERYTHING.where(*_conditions(query)).order_by(RELEASES.c.seq.desc())
    return wanted.limit(query.limit + 1)


def _conditions(query: Query) -> Iterable[ColumnElement[bool]]:
    if query.service:
        yield RELEASES.c.service == query.service
    if query.states:
        plain = [state for state in query.states if state != HELD]
        held = [IS_HELD] if HELD in query.states else []
        yield or_(RELEASES.c.state.in_(plain), *held)
    if query.since:
        yield RELEASES.c.requested_at >= moment_text(query.since)
    if query.before is not None:
        yield RELEASES.c.seq < query.before
    if query.beginning:
        # Not LIKE: a beginning may hold what that takes for its own.
        yield RELEASES.c.id >= query.beginning
        yield RELEASES.c.id < query.beginning + "\x7f"


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Read a query from the parameters of a URL.

    Raises:
        InputError: A parameter is unknown, stands there twice, or has no legal value.
    """
    query = Query()
    seen: set[str] = set()
    for name, text in pairs:
        if name in seen and name != Field.STATE:
            raise InputError("it stands there twice", field=name, fix="give it once")
        seen.add(name)
        query = _with(query, name, text)
    return query


def _with(query: Query, name: str, text: str) -> Query:
    if name == Field.SERVICE:
        return replace(query, service=_filled(name, text))
    if name == Field.STATE:
        return replace(query, states=(*query.states, _state(text)))
    if name == Field.SINCE:
        return replace(query, since=parse_since(text))
    if name == Field.LIMIT:
        return replace(query, limit=_number(name, text, 1, MOST))
    if name == Field.BEFORE:
        return replace(query, before=_number(name, text, 0, 2**31 - 1))
    raise InputError(
        "there is no such parameter", field=name, fix=f"use {', '.join(f.value for f in Field)}"
    )


def _filled(name: str, text: str) -> str:
    if not text or "\x00" in text:
        raise InputError("it has no legal value", field=name, fix="give a name, or leave it out")
    return text


def _state(text: str) -> str:
    if text not in STATES:
        raise InputError(
            "there is no such state", field=Field.STATE, fix=f"use {', '.join(STATES)}"
        )
    return text


def parse_since(text: str) -> datetime:
    """Read an RFC 3339 time.

    Raises:
        InputError: It is none, or does not say its offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
        legal = moment.tzinfo is not None and "T" in text.upper() and bool(moment_text(moment))
    except (ValueError, OverflowError):
        legal = False
    if not legal:
        raise InputError("it is no RFC 3339 time", field="since", fix="write 2026-01-31T12:00:00Z")
    return moment


def _number(name: str, text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)):
        number = int(text)
        if least <= number <= most:
            return number
    raise InputError("it is no such number", field=name, fix=f"give {least} to {most}")
