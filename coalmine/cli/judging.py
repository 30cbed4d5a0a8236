"""How ``coalmine gate`` comes to a decision: as a gate does, or from the past."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from coalmine._base.errors import CoalmineError, InputError
from coalmine.gate.judge import Decision, Verdict
from coalmine.gate.plan import Plan, make_plan
from coalmine.gate.policy import load_policy
from coalmine.gate.preflight import preflight_plan
from coalmine.gate.replay import replay
from coalmine.gate.runner import Tick, measure, run_gate
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import MetricsSource, MetricsUnavailableError

__all__ = ["NoVerdictError", "facts_of", "judged", "plan_of", "replayed", "source_of"]

MINUTE = 60.0


class NoVerdictError(CoalmineError):
    """The metrics could not be read, so nothing is known; 1 would say rollback."""

    exit_code = 3


def facts_of(given: Mapping[str, str | None]) -> dict[str, str]:
    """Give the names of the service and its revisions."""
    return {name: given[name] or "" for name in ("service", "canary", "stable")}


def plan_of(given: Mapping[str, str | None]) -> Plan:
    """Read the policy and write its queries out.

    Raises:
        InputError: The policy or a name is wrong.
    """
    variables = {**facts_of(given), "namespace": given["namespace"] or ""}
    return make_plan(load_policy(given["policy"] or ""), variables)


def source_of(given: Mapping[str, str | None]) -> PrometheusSource:
    """Give what answers the queries.

    Raises:
        InputError: The URL is none.
    """
    return PrometheusSource(given["prometheus"] or "")


def judged(
    plan: Plan, source: MetricsSource, begin: datetime, observe: Callable[[Tick], None]
) -> Decision:
    """Judge a canary until there is a verdict.

    Raises:
        BadQueryError: A query is wrong.
    """
    preflight_plan(plan, source)
    return run_gate(plan, source, begin, clock=time.time, sleep=time.sleep, observe=observe)


def replayed(
    plan: Plan,
    source: MetricsSource,
    begin: datetime,
    end: datetime,
    observe: Callable[[Tick], None],
) -> Decision:
    """Judge a past canary, and tell one turn a minute and the last.

    Raises:
        InputError: END is before START.
        BadQueryError: A query is wrong.
        NoVerdictError: The metrics could not be read.
    """
    if end < begin:
        raise InputError("END is before START", field="--replay", fix="give the earlier one first")
    try:
        seen = measure(plan, source, begin.timestamp(), end.timestamp())
    except MetricsUnavailableError as error:
        raise NoVerdictError(f"no verdict: {error.message}", fix=error.fix) from error
    told, newest = -MINUTE, None
    for newest in replay(plan.policy, seen, end.timestamp()):
        elapsed = newest.now - begin.timestamp()
        ended = newest.decision.verdict is not Verdict.CONTINUE
        if ended or elapsed - told >= MINUTE:
            told = elapsed
            observe(newest)
    assert newest is not None
    if told < newest.now - begin.timestamp():
        observe(newest)
    return newest.decision
