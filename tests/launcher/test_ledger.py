"""The ledger on both databases: order, one at a time, conflicts, claims, owners."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from coalmine._base.errors import InputError
from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.launcher.admission import Admitted, ConflictError
from coalmine.launcher.clean import clean_history
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.notes import Notes
from coalmine.launcher.read import select_release, select_releases
from coalmine.launcher.recording import Told
from coalmine.launcher.release import Conflict, NewRelease, ReleaseState

Made = Callable[..., Ledger]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Made]:
    made: list[Ledger] = []
    on_sqlite = request.param == "sqlite"
    url = ledger_url(tmp_path) if on_sqlite else request.getfixturevalue("postgres").url

    def one(owner: str = "a", lease: float = 15.0) -> Ledger:
        made.append(Ledger(url, clock, owner=owner, lease=lease))
        return made[-1]

    yield one
    for ledger in made:
        ledger.close()


def new(release_id: str, service: str = "iris", **more: Any) -> NewRelease:
    return NewRelease(
        id=release_id,
        service=service,
        name="iris",
        version="é'\"$(x)",
        event_source="/ci",
        event_id=release_id,
        event_type="t",
        binding="b",
        pipeline="release",
        engine="local",
        parameters={"release_id": release_id, "text": "a\\b"},
        event_attributes={"id": release_id, "traceparent": "00-ab"},
        **more,
    )


def accept(ledger: Ledger, *releases: NewRelease) -> list[tuple[str, bool]]:
    """Each in a message of its own; gives the id and whether it was new."""
    answers = ledger.accept([[one] for one in releases])
    return [
        (answer[0].release_id, answer[0].new) if isinstance(answer, list) else ("refused", False)
        for answer in answers
    ]


def rows(ledger: Ledger) -> dict[str, dict[str, Any]]:
    with ledger.connect() as connection:
        found = connection.execute(text("SELECT * FROM release ORDER BY seq")).mappings()
        return {row["id"]: dict(row) for row in found}


def states(ledger: Ledger) -> dict[str, str]:
    return {release_id: row["state"] for release_id, row in rows(ledger).items()}


def end(ledger: Ledger, release_id: str, state: ReleaseState = ReleaseState.PROMOTED) -> None:
    ledger.record(release_id, (), Facts(), state)


def test_what_is_stored_is_what_was_given(make: Made) -> None:
    ledger = make()
    assert ledger.accept([[new("r1")]]) == [[Admitted("r1", "accepted", new=True)]]
    [row] = rows(ledger).values()
    assert (row["version"], row["verdict"], row["owner"]) == ("é'\"$(x)", "", "")
    assert ledger.begin() == ("r1",)
    [running] = ledger.running()
    assert running.parameters == {"release_id": "r1", "text": "a\\b"}
    with ledger.connect() as connection:
        assert select_releases(connection)[0]["started_at"] == "2026-01-01T00:00:00.000000Z"


def test_one_message_is_all_or_nothing_and_the_others_do_not_mind(make: Made) -> None:
    ledger = make()
    refusing = [replace(new(f"r{n}"), on_conflict=Conflict.REJECT) for n in (1, 2)]
    answers = ledger.accept([refusing, [new("r3", "other"), new("r4")], [new("r3", "other")]])
    assert isinstance(answers[0], ConflictError)
    assert "r1" in answers[0].message
    assert [[one.new for one in answer] for answer in answers[1:]] == [[True, True], [False]]  # type: ignore[union-attr]
    assert list(states(ledger)) == ["r3", "r4"]


def test_many_messages_in_one_commit_keep_their_order(make: Made) -> None:
    ledger = make()
    given = [new(f"r{n:03}", f"s{n}") for n in range(151)]  # more than a statement takes, and odd
    assert accept(ledger, *given) == [(one.id, True) for one in given]
    assert list(states(ledger)) == [one.id for one in given]
    assert accept(ledger, *given[::50]) == [(one.id, False) for one in given[::50]]


def test_a_service_that_is_busy_rejects(make: Made) -> None:
    ledger = make()
    rejecting = [replace(new(f"r{n}"), on_conflict=Conflict.REJECT) for n in range(3)]
    assert accept(ledger, rejecting[0], rejecting[1]) == [("r0", True), ("refused", False)]
    ledger.begin()
    assert accept(ledger, rejecting[1], rejecting[0]) == [("refused", False), ("r0", False)]
    end(ledger, "r0")
    assert accept(ledger, rejecting[2]) == [("r2", True)]


def test_a_newer_release_supersedes_those_before_it(make: Made) -> None:
    ledger = make()
    accept(ledger, new("r1"))
    ledger.begin()
    superseding = [replace(new(f"r{n}"), on_conflict=Conflict.SUPERSEDE) for n in (3, 4)]
    accept(ledger, new("r2"), new("r5", "other"), *superseding)
    found = rows(ledger)
    assert found["r2"]["reason"] == "superseded by r3"
    assert found["r3"]["reason"] == "superseded by r4"
    assert states(ledger) == {
        "r1": "running",
        "r2": "cancelled",
        "r5": "accepted",
        "r3": "cancelled",
        "r4": "accepted",
    }
    assert ledger.running()[0].cancel_reason == "superseded by r3"
    assert ledger.begin(9) == ("r5",)
    end(ledger, "r1", ReleaseState.CANCELLED)
    assert ledger.begin(9) == ("r4",)


def test_the_same_content_within_a_time_is_the_same_release(make: Made, clock: Clock) -> None:
    ledger = make()

    def asked(number: int) -> NewRelease:
        return replace(new(f"r{number}"), content_key="k", within=60.0)

    assert accept(ledger, asked(1), asked(2)) == [("r1", True), ("r1", False)]
    clock.now += timedelta(seconds=59)
    assert accept(ledger, asked(3)) == [("r1", False)]
    clock.now += timedelta(seconds=2)
    assert accept(ledger, asked(2), asked(4)) == [("r1", False), ("r4", True)]
    clock.now -= timedelta(days=1)
    assert accept(ledger, asked(3), asked(5)) == [("r1", False), ("r5", True)]
    assert accept(ledger, replace(asked(3), content_key="")) == [("r1", False)]


def test_cancelling(make: Made) -> None:
    ledger = make()
    accept(ledger, new("r1"), new("r2"))
    ledger.begin()
    assert ledger.cancel("r2", "asked") is ReleaseState.CANCELLED
    assert ledger.cancel("r1", "asked") is ReleaseState.RUNNING
    assert ledger.cancel("r1", "again") is ReleaseState.RUNNING
    assert ledger.running()[0].cancel_reason == "asked"
    assert ledger.cancel("r9", "asked") is None
    end(ledger, "r1")
    assert ledger.cancel("r1", "asked") is ReleaseState.PROMOTED


def test_two_launchers_share_the_work_and_one_takes_over(make: Made) -> None:
    one, two = make("a", 0.0), make("b", 1e6)
    assert one.check_in([]) == two.check_in([]) == 0
    accept(one, new("r1"), new("r2"), new("r3", "other"))
    assert one.begin() == ("r1",)
    assert two.begin(9) == ("r3",)
    two.record("r1", (), Facts(), ReleaseState.PROMOTED)
    assert states(one)["r1"] == "running"
    assert two.check_in(["local"]) == 0  # the first was seen within the lease
    assert one.check_in(["kfp"]) == 0  # the second is gone, but its run cannot be followed
    assert one.check_in(["local"]) == 1
    assert [release.id for release in one.running()] == ["r1", "r3"]
    end(two, "r3")
    assert states(one)["r3"] == "running"
    assert two.running() == ()


def test_what_ended_long_ago_is_removed(make: Made, clock: Clock) -> None:
    ledger = make()
    ledger.notes = Notes(["http://sink/"])
    accept(ledger, new("rtold"))
    assert ledger.begin() == ("rtold",)
    end(ledger, "rtold", ReleaseState.FAILED)
    ledger.notes = Notes()
    for number in range(3):  # an older promotion, the newest, a failure
        accept(ledger, new(f"r{number}"))
        assert ledger.begin() == (f"r{number}",)
        tasks = (TaskStatus("build", TaskState.SUCCEEDED, 1),)
        state = ReleaseState.FAILED if number == 2 else ReleaseState.PROMOTED
        assert ledger.record(f"r{number}", tasks, Facts()) == {"build"}
        assert ledger.record(f"r{number}", tasks, Facts(), state) == set(), "it was noted before"
    claimed = replace(new("r3"), content_key="c", within=60.0)
    accept(ledger, claimed, new("r4", "other"))
    ledger.cancel("r3", "no need")
    assert ledger.begin() == ("r4",)
    clock.now += timedelta(days=90)
    accept(ledger, new("r5"), new("r6"))
    ledger.cancel("r5", "no need")
    database = ledger.database
    assert clean_history(database, clock.now - timedelta(days=91)) == []
    assert clean_history(database, clock.now - timedelta(days=1)) == ["r0", "r2", "r3"]
    assert list(states(ledger)) == ["rtold", "r1", "r4", "r5", "r6"]
    with ledger.connect() as connection:
        assert len(connection.execute(text("SELECT * FROM task")).all()) == 1
        assert connection.execute(text("SELECT * FROM claim")).all() == []
    assert accept(ledger, new("r0")) == [("r0", True)]


def test_an_older_ledger_gets_what_is_new(tmp_path: Path) -> None:
    ledger = Ledger(ledger_url(tmp_path))
    ledger.accept([[new("r1")]])
    ledger.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as older:
        older.execute("ALTER TABLE release DROP COLUMN attempt")
        older.execute("ALTER TABLE outbox DROP COLUMN attempt")
        older.execute("DROP TABLE dead_letter")
    again = Ledger(ledger_url(tmp_path))
    assert again.begin() == ("r1",)
    again.record("r1", (), Facts(), ReleaseState.DEAD)
    assert again.retry("r1") is ReleaseState.ACCEPTED
    assert again.waiting() == []
    again.close()


def test_a_ledger_of_another_version(tmp_path: Path) -> None:
    url = ledger_url(tmp_path)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE claim (key TEXT PRIMARY KEY)"))
    engine.dispose()
    with pytest.raises(InputError, match="claim has no release_id"):
        Ledger(url)


@pytest.mark.parametrize("url", ["", "x", "mysql://h/d", "sqlite://"])
def test_what_is_no_url_of_a_ledger(url: str) -> None:
    with pytest.raises(InputError, match="--database"):
        Ledger(url)


STEPS = st.lists(
    st.tuples(st.sampled_from(["accept", "begin", "end", "settle"]), st.integers(0, 3)), max_size=30
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_order_is_kept_and_no_service_runs_two(tmp_path_factory: Any, steps: Any) -> None:
    """Against a model: the releases of a service begin in their order, one at a time."""
    ledger = Ledger(ledger_url(tmp_path_factory.mktemp("ledger")))
    waiting: list[tuple[str, str]] = []
    running: dict[str, str] = {}
    for number, (step, pick) in enumerate(steps):
        service = "abcd"[pick]
        if step == "accept":
            accept(ledger, new(f"r{number}", service))
            waiting.append((f"r{number}", service))
        elif step == "begin":
            expected: list[tuple[str, str]] = []
            for one in waiting:
                if one[1] not in running and one[1] not in {other[1] for other in expected}:
                    expected.append(one)
            expected = expected[: pick + 1]
            assert ledger.begin(pick + 1) == tuple(one[0] for one in expected)
            running.update({name: release_id for release_id, name in expected})
            waiting = [one for one in waiting if one not in expected]
        elif service in running:
            ended = running.pop(service)
            if step == "end":
                end(ledger, ended)
                continue
            behind = [one for one in waiting if one[1] == service][:1]
            noted, begun = ledger.settle({ended: Told(state=ReleaseState.FAILED)}, [service])
            assert (list(noted), begun) == ([ended], tuple(one[0] for one in behind))
            running.update({name: release_id for release_id, name in behind})
            waiting = [one for one in waiting if one not in behind]
    ledger.close()


def test_many_are_noted_in_one_commit_and_each_service_goes_on(make: Made) -> None:
    ledger, other = make("a"), make("b")
    accept(ledger, *(new(f"r{number}", f"s{number % 3}") for number in range(9)))
    assert ledger.begin(2) == ("r0", "r1")
    assert other.begin(9) == ("r2",)
    tasks = (TaskStatus("build", TaskState.SUCCEEDED, 1),)
    told = {
        "r0": Told(tasks, Facts(version="v7"), ReleaseState.PROMOTED),
        "r1": Told(submitted=True),
        "r2": Told(state=ReleaseState.FAILED),  # it is the other's
    }
    new_steps, begun = ledger.settle(told, ["s0", "s1", "s2", "none"])
    assert (new_steps, begun) == ({"r0": {"build"}, "r1": frozenset()}, ("r3",))
    found = rows(ledger)
    assert (found["r0"]["state"], found["r0"]["version"]) == ("promoted", "v7")
    assert found["r1"]["submitted_at"]
    assert (found["r2"]["state"], found["r3"]["owner"]) == ("running", "a")
    assert ledger.settle({"r0": Told(state=ReleaseState.FAILED)}, []) == ({}, ())
    assert states(ledger)["r0"] == "promoted"


def test_what_no_database_takes_keeps_no_release_from_its_end(make: Made) -> None:
    ledger = make()
    accept(ledger, new("r1"))
    ledger.begin()
    odd = "zero \0 half \ud800 end"
    task = TaskStatus("some-task", TaskState.FAILED, 1, outputs={"said": odd}, message=odd)
    facts = Facts(version="v" * 100, verdict="w" * 100, image_digest="d" * 200, reason=odd)
    assert ledger.record("r1", (task,), facts, ReleaseState.FAILED) == {"some-task"}
    with ledger.connect() as connection:
        row: Any = select_release(connection, "r1")
    said = odd.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert (row["state"], row["reason"], row["steps"][0]["message"]) == ("failed", said, said)
    assert row["steps"][0]["outputs"] == {"said": said}
    assert [len(row[name]) for name in ("version", "verdict", "image_digest")] == [63, 32, 128]


def test_a_promotion_ends_what_is_older_and_waits(make: Made) -> None:
    ledger = make()
    ledger.accept([[new("r1")], [new("r2")], [new("r3")], [new("other", "other")]])
    assert ledger.begin() == ("r1",)
    ledger.record("r1", (), Facts(), ReleaseState.DEAD)
    assert ledger.begin() == ("r2",)
    assert ledger.retry("r1") is ReleaseState.ACCEPTED
    ledger.record("r2", (), Facts(), ReleaseState.PROMOTED)
    with ledger.connect() as connection:
        states = {one["id"]: one["state"] for one in select_releases(connection)}
    assert states == {"r1": "cancelled", "r2": "promoted", "r3": "accepted", "other": "accepted"}
