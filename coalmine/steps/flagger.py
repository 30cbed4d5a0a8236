"""What a gate policy is to Flagger, and what Flagger's word is to the step ``gate``."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from coalmine._base.errors import InputError
from coalmine.gate.judge import Decision, Verdict
from coalmine.gate.model import Check, NoData, OnInconclusive, Policy
from coalmine.gate.plan import Plan, make_plan
from coalmine.gate.runner import Tick
from coalmine.serving.flagger.analysis import Analysis, Measure
from coalmine.serving.flagger.run import Ruled, Ruling
from coalmine.serving.flagger.seen import primary_of
from coalmine.serving.kube.client import StaleError

__all__ = ["FLAGGER", "analysis_of", "await_ruling", "plan_of"]

logger = logging.getLogger(__name__)
FLAGGER = "flagger"
"""The serving backend's name."""
SHORTEST = 10
"""Seconds: Flagger looks no more often."""
POLL = 5.0
COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|#[^\n]*""")
VERDICTS = {Ruled.PASSED: Verdict.PROMOTE, Ruled.FAILED: Verdict.ROLLBACK}


def plan_of(policy: Policy, service: str, namespace: str) -> Plan:
    """Write a policy's queries out for a Deployment that Flagger drives."""
    names = {"service": service, "canary": service, "stable": primary_of(service)}
    return make_plan(policy, {**names, "namespace": namespace})


def analysis_of(plan: Plan, prometheus: str, percent: int) -> Analysis:
    """Say a policy in Flagger's words.

    The canary climbs to its percent within the policy's window, in as many steps as there are
    looks, each of which has to pass.

    Args:
        plan: The policy and its queries.
        prometheus: Base URL of Prometheus, as Flagger reaches it.
        percent: The canary's greatest share, 1 to 99.

    Raises:
        InputError: Flagger cannot make one of the checks, or cannot reach Prometheus.
    """
    _check_address(prometheus)
    policy = plan.policy
    deciding = [check for check in policy.checks if not check.advisory]
    for check in deciding:
        _check_is_plain(check, policy.name)
    if told := [check.name for check in policy.checks if check.advisory]:
        logger.info("advisory checks are not Flagger's", extra={"checks": told})
    looks = max(1, min(percent, int(policy.window // max(policy.step, SHORTEST))))
    return Analysis(
        prometheus=prometheus,
        interval=max(SHORTEST, math.ceil(policy.window / looks)),
        threshold=min(_limit(check) for check in deciding),
        weights=tuple(math.ceil(percent * (turn + 1) / looks) for turn in range(looks)),
        measures=tuple(m for check in deciding for m in _measures(check, plan.queries[check.name])),
    )


def await_ruling(
    plan: Plan,
    since: datetime,
    *,
    ruling: Callable[[], Ruling],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Tick:
    """Wait for Flagger's word, as long as the policy waits for evidence.

    Args:
        plan: The policy; only its timeout, and what that means, count here.
        since: When the canary had its first share.
        ruling: Asks what Flagger has said.
        clock: Unix seconds.
        sleep: Waits that many seconds.

    Returns:
        The last turn, with a verdict that is final.
    """
    ends = since.timestamp() + plan.policy.timeout
    while True:
        reason = ""
        try:
            now = ruling()
        except StaleError as fault:
            reason = fault.message
        else:
            reason = now.reason
            if now.ruled in VERDICTS and (now.done or now.ruled is Ruled.PASSED):
                return _turn(clock(), VERDICTS[now.ruled], reason)
        if clock() >= ends:
            told = f"Flagger gave no verdict within {plan.policy.timeout:g} s: {reason}"
            return _turn(clock(), _late(plan.policy), told)
        logger.info("waiting for Flagger", extra={"said": reason})
        sleep(POLL)


def _turn(now: float, verdict: Verdict, reason: str) -> Tick:
    return Tick(now, None, Decision(verdict, reason, 0.0, ()))


def _late(policy: Policy) -> Verdict:
    if policy.on_inconclusive is OnInconclusive.ROLLBACK:
        return Verdict.ROLLBACK
    return Verdict.INCONCLUSIVE


def _check_is_plain(check: Check, policy: str) -> None:
    kinds = {"compare": check.compare, "baseline": check.baseline}
    kind = next((name for name, found in kinds.items() if found is not None), "")
    if kind:
        raise InputError(
            f"the check {check.name} of policy {policy} is a {kind} check, and Flagger holds one "
            "number against a bound",
            field="policy",
            fix="make it advisory, or use the serving backend gateway, where our own gate judges",
        )
    if check.no_data is NoData.PASS:
        raise InputError(
            f"the check {check.name} of policy {policy} passes without data, and to Flagger no "
            "data is a failed check",
            field="policy",
            fix="say no_data: fail or wait, or end its query with: or vector(0)",
        )


def _limit(check: Check) -> int:
    limits = [check.fail_after.consecutive, check.fail_after.total]
    return min(limit for limit in limits if limit)


def _measures(check: Check, query: str) -> Iterator[Measure]:
    """Hold every series against the bounds: Flagger itself would look at the last one alone."""
    # Flagger puts a query on one line, where a comment would take in all that follows.
    plain = " ".join(COMMENT.sub(lambda found: found[1] or "", query).split("\n")).strip()
    both = check.minimum is not None and check.maximum is not None
    if check.maximum is not None:
        name = f"{check.name}-max" if both else check.name
        yield Measure(name, f"max({plain})", maximum=check.maximum)
    if check.minimum is not None:
        name = f"{check.name}-min" if both else check.name
        yield Measure(name, f"min({plain})", minimum=check.minimum)


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(
            f"{url!r} is no address that Flagger could ask" if url else "is not given",
            field="prometheus_url",
            fix="give Prometheus as Flagger reaches it, http://prometheus.monitoring:9090",
        )
    if parts.username or parts.password:
        raise InputError(
            "has a password, which would stand in a MetricTemplate for all to read",
            field="prometheus_url",
            fix="leave it out, and give the MetricTemplates a provider.secretRef, see "
            "docs/flagger.md",
        )
