"""The loop, on a fake clock and a fake source of metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.hold import Answer, Person
from coalmine.gate.judge import Decision
from coalmine.gate.model import OnInconclusive
from coalmine.gate.plan import make_plan
from coalmine.gate.preflight import preflight
from coalmine.gate.runner import Tick, run_gate
from coalmine.metrics.protocol import BadQueryError, MetricsUnavailableError, Sample, Series

FACTS = {"service": "iris", "canary": "iris-2", "stable": "iris-1"}


class World:
    """A clock, and metrics that follow from it."""

    def __init__(self, since: float, value: Callable[[float], float]) -> None:
        self.since, self.now, self.value = since, since, value
        self.down: set[int] = set()
        self.asked: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def query_range(
        self, expression: str, *, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        self.asked.append(expression)
        if round(self.now - self.since) in self.down:
            raise MetricsUnavailableError("nobody there")
        if expression == "bad":
            raise BadQueryError("it does not parse")
        if expression == "twofold":
            raise MetricsUnavailableError("many-to-many matching")
        count = round((end - start) / step) + 1
        ages = [i * step.total_seconds() for i in range(count)]
        grow = "completed" in expression
        samples = (Sample(self.since + age, age * 5 if grow else self.value(age)) for age in ages)
        return (Series((), tuple(samples)),)


@pytest.fixture
def run(make: Any) -> Any:
    def run(value: Callable[[float], float], down: set[int] = frozenset()) -> Any:  # type: ignore[assignment]
        world = World(make.since, value)
        world.down = down
        ticks: list[Tick] = []
        decision = run_gate(
            make_plan(make.policy(), FACTS),
            world,
            datetime.fromtimestamp(make.since, UTC),
            clock=world.clock,
            sleep=world.sleep,
            observe=ticks.append,
        )
        return decision, ticks, world

    return run


def test_a_good_canary_is_promoted_at_the_windows_end(run: Any) -> None:
    decision, ticks, world = run(lambda _: 0.0)
    assert decision.verdict == "promote"
    assert [tick.decision.verdict for tick in ticks[:-1]] == ["continue"] * 10
    assert len(world.asked) == 2 * len(ticks), "one query a check and tick, and the counter"


def test_a_bad_canary_is_rolled_back_early(run: Any) -> None:
    decision, ticks, _ = run(lambda age: 0.3 if age >= 2 else 0.0)
    assert decision.verdict == "rollback"
    assert len(ticks) == 5


def test_metrics_that_are_away_for_a_while_change_nothing(run: Any) -> None:
    decision, ticks, _ = run(lambda _: 0.0, down={3, 4, 5})
    assert decision.verdict == "promote"
    assert [tick.evidence is None for tick in ticks].count(True) == 3


def test_metrics_that_never_come_end_inconclusive_at_the_timeout(run: Any) -> None:
    decision, _, world = run(lambda _: 0.0, down=set(range(100)))
    assert decision.verdict == "inconclusive"
    assert "nobody there" in decision.reason
    assert world.now - world.since == 30


def test_a_held_canary_waits_for_a_person(make: Any) -> None:
    policy = make.policy(min_requests=10_000, on_inconclusive=OnInconclusive.HOLD, hold=60.0)

    def run(person: Person | None) -> tuple[Decision, World, list[Tick]]:
        world, ticks = World(make.since, lambda _: 0.0), list[Tick]()
        decision = run_gate(
            make_plan(policy, FACTS),
            world,
            datetime.fromtimestamp(make.since, UTC),
            clock=world.clock,
            sleep=world.sleep,
            observe=ticks.append,
            person=person,
        )
        return decision, world, ticks

    answers = iter([None, None, Answer.APPROVED])
    decision, world, ticks = run(lambda _: next(answers))
    assert (decision.verdict, world.now - world.since) == ("promote", 32)
    assert [tick.decision.verdict for tick in ticks[-3:]] == ["hold", "hold", "promote"]
    assert "approved by a person; after 32s: the canary has answered" in decision.reason
    decision, world, _ = run(lambda _: None)
    assert (decision.verdict, world.now - world.since) == ("inconclusive", 90)
    decision, world, _ = run(None)
    assert (decision.verdict, world.now - world.since) == ("inconclusive", 30)


def test_an_advisory_check_that_cannot_be_measured_stops_nothing(make: Any) -> None:
    advice = make.check(name="advice", query="twofold", advisory=True)
    for check, verdict in ((advice, "promote"), (replace(advice, advisory=False), "inconclusive")):
        world = World(make.since, lambda _: 0.0)
        decision = run_gate(
            make_plan(make.policy(make.check(), check), FACTS),
            world,
            datetime.fromtimestamp(make.since, UTC),
            clock=world.clock,
            sleep=world.sleep,
            observe=lambda _: None,
        )
        assert decision.verdict == verdict


def test_a_namespace_is_needed_only_where_it_is_used(make: Any) -> None:
    policy = make.policy(make.check(query='x{n="${namespace}"}'))
    assert make_plan(policy, {**FACTS, "namespace": "ml"}).queries == {"errors": 'x{n="ml"}'}
    with pytest.raises(
        InputError, match=r"errors of policy test asks for \$\{namespace\}"
    ) as caught:
        make_plan(policy, FACTS)
    assert "--namespace" in caught.value.fix


def test_queries_are_written_out(make: Any) -> None:
    plan = make_plan(make.policy(make.check(query='x{a="${canary}"}[${window}]')), FACTS)
    assert plan.queries == {"errors": 'x{a="iris-2"}[10s]'}


def test_a_first_release_is_judged_by_what_needs_no_stable(make: Any) -> None:
    compared = make.check(name="ratio", query='a{r="${canary}"} / a{r="${stable}"}')
    plan = make_plan(make.policy(make.check(), compared), {**FACTS, "stable": ""})
    assert (tuple(plan.queries), plan.skipped) == (("errors",), ("ratio",))
    advice = make.check(name="advice", advisory=True)
    with pytest.raises(InputError, match="that decides needs a stable version"):
        make_plan(make.policy(compared, advice), {**FACTS, "stable": ""})


def test_preflight_names_the_check_and_the_query(make: Any) -> None:
    world = World(make.since, lambda _: 0.0)
    preflight(make.policy(), world, FACTS)
    with pytest.raises(BadQueryError, match=r"check errors: it does not parse \(query: bad\)"):
        preflight(make.policy(make.check(query="bad")), world, FACTS)


def test_preflight_only_warns_where_nobody_answers(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(make.since, lambda _: 0.0)
    world.down = {0}
    preflight(make.policy(), world, FACTS)
    assert "nobody there" in caplog.text
