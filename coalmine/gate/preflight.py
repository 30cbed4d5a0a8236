"""Try a policy's queries before anything is started for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from coalmine.gate.asking import ask
from coalmine.gate.model import Policy
from coalmine.gate.plan import Plan, make_plan
from coalmine.metrics.protocol import MetricsSource, MetricsUnavailableError

__all__ = ["preflight", "preflight_plan"]

logger = logging.getLogger(__name__)


def preflight(
    policy: Policy,
    source: MetricsSource,
    variables: Mapping[str, str],
    *,
    now: datetime | None = None,
) -> None:
    """Evaluate every query of a policy once.

    Args:
        policy: How the canary will be judged.
        source: What will be asked.
        variables: ``service``, ``canary`` and ``stable``, the last empty on a first release.
        now: The time to ask for; the present unless told.

    Raises:
        BadQueryError: A query does not parse, or gives a range vector or a string.
        InputError: No check applies to this canary.

    Where the source does not answer, this is logged as a warning and nothing is raised: the gate
    itself waits for it until its timeout.
    """
    preflight_plan(make_plan(policy, variables), source, now=now)


def preflight_plan(plan: Plan, source: MetricsSource, *, now: datetime | None = None) -> None:
    """Do the same with queries that are written out.

    Raises:
        BadQueryError: A query does not parse, or gives a range vector or a string.
    """
    moment = now or datetime.now(UTC)
    try:
        for name, query in {"requests": plan.requests, **plan.queries}.items():
            ask(source, name, query, start=moment, end=moment, step=timedelta(seconds=1))
    except MetricsUnavailableError as error:
        logger.warning("the policy's queries could not be tried: %s", error.message)
