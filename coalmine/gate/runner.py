"""The gate's loop: measure, judge, wait. All it knows it reads again at every turn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from coalmine.gate.asking import ask
from coalmine.gate.evidence import Evidence, grid_of
from coalmine.gate.hold import Person, held
from coalmine.gate.judge import Decision, Verdict, judge, unavailable
from coalmine.gate.model import Check
from coalmine.gate.plan import Plan
from coalmine.metrics.protocol import MetricsSource, MetricsUnavailableError, Series

__all__ = ["Tick", "measure", "run_gate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """One turn of the gate.

    Attributes:
        now: Unix seconds.
        evidence: All measurements up to now, in a replay also those after it; None where the
            metrics could not be read.
        decision: What the judge said.
    """

    now: float
    evidence: Evidence | None
    decision: Decision


def run_gate(
    plan: Plan,
    source: MetricsSource,
    since: datetime,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    observe: Callable[[Tick], None],
    person: Person | None = None,
) -> Decision:
    """Judge a canary until there is a verdict.

    Args:
        plan: The policy and its queries.
        source: What answers them.
        since: When the canary got its share.
        clock: Unix seconds.
        sleep: Waits that many seconds.
        observe: Is told of every turn, also of the last.
        person: Asks what a person has decided about a canary that is held, at every turn; without
            it there is nobody to wait for, and a held canary is inconclusive.

    Returns:
        A decision that is final.

    Raises:
        BadQueryError: A query is wrong.
    """
    while True:
        tick = _turn(plan, source, since.timestamp(), clock())
        if tick.decision.verdict is Verdict.HOLD:
            tick = replace(tick, decision=held(tick.decision, person))
        _log(tick, since.timestamp())
        observe(tick)
        if tick.decision.verdict.final:
            return tick.decision
        sleep(plan.policy.step)


def measure(plan: Plan, source: MetricsSource, since: float, now: float) -> Evidence:
    """Ask every query once, for all points of the grid up to now.

    Raises:
        BadQueryError: A query is wrong; names its check.
        MetricsUnavailableError: One of them was not answered.
    """
    grid = grid_of(plan.policy, since, now)
    start, end = (datetime.fromtimestamp(grid.time_of(point), UTC) for point in (0, grid.last))
    step = timedelta(seconds=grid.step)
    return Evidence(
        since=since,
        requests=ask(source, "requests", plan.requests, start=start, end=end, step=step),
        checks={
            check.name: _asked(check, source, plan.queries[check.name], (start, end, step))
            for check in plan.policy.checks
        },
    )


def _asked(
    check: Check, source: MetricsSource, query: str, when: tuple[datetime, datetime, timedelta]
) -> tuple[Series, ...]:
    start, end, step = when
    try:
        return ask(source, check.name, query, start=start, end=end, step=step)
    except MetricsUnavailableError as error:
        if not check.advisory:
            raise
        logger.warning("the advisory check %s is not measured: %s", check.name, error.message)
        return ()


def _turn(plan: Plan, source: MetricsSource, since: float, now: float) -> Tick:
    try:
        evidence = measure(plan, source, since, now)
    except MetricsUnavailableError as error:
        return Tick(now, None, unavailable(plan.policy, since, now, error.message))
    return Tick(now, evidence, judge(plan.policy, evidence, now))


def _log(tick: Tick, since: float) -> None:
    decision = tick.decision
    checks = {
        check.name: {"state": str(check.state), "last": check.last, "failing": check.failing}
        for check in decision.checks
    }
    fields = {
        "verdict": str(decision.verdict),
        "elapsed": round(tick.now - since, 1),
        "requests": round(decision.requests),
        "checks": checks,
    }
    logger.info("gate: %s", decision.reason, extra=fields)
