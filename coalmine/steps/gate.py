"""The step ``gate``: judge the canary, and end with a verdict."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.gate.hold import Person
from coalmine.gate.plan import Plan, make_plan
from coalmine.gate.record import gate_record, read_record, write_record
from coalmine.gate.runner import Tick, run_gate
from coalmine.stack.layout import Layout
from coalmine.steps.contract import Step, Surroundings, artifact, given, optional

__all__ = ["STEP", "GateInputs", "GateOutputs", "check_past", "parse_time"]

logger = logging.getLogger(__name__)
RELEASE_ID = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
EARLIEST_YEAR = 1970
CLOCKS_APART = 300.0
"""Seconds by which the clock that wrote a time may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class GateInputs:
    """What the step takes."""

    release_id: str = given("The release.")
    service: str = given("What users call.")
    canary: str = given("Revision name of the version on trial.")
    since: str = given("When the canary first had its share of the traffic; RFC 3339.")
    stable: str = optional("Revision name of the stable version; empty on a first release.")
    policy: str = optional(
        "Path or file:// URL of a gate policy, or the name of a shipped one.", setting=True
    )
    prometheus_url: str = optional(
        "Base URL of Prometheus; that of the local stack if empty.", setting=True
    )
    namespace: str = optional(
        "Kubernetes namespace, for policies that use ${namespace}.", setting=True
    )
    serving: str = optional(
        "The serving backend; flagger judges itself, and its verdict is waited for.", setting=True
    )
    launcher_url: str = optional(
        "Base URL of the launcher, which knows what a person decided about a held canary.",
        setting=True,
    )


@dataclass(frozen=True, slots=True)
class GateOutputs:
    """What the step gives."""

    verdict: str = given("File to write the verdict to: promote, rollback or inconclusive.")
    reason: str = given("File to write the reason to, one sentence.")
    report: str = artifact(
        "HTML", "File to write the report to: an HTML page with all that the verdict is from."
    )


def parse_time(text: str, field: str = "--since") -> datetime:
    """Read an RFC 3339 time that an option gives.

    Raises:
        InputError: It is none, is before 1970, or does not say its offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.year < EARLIEST_YEAR:
        raise InputError(
            f"{text!r} is no RFC 3339 time since 1970",
            field=field,
            fix="write 2026-01-31T12:00:00Z",
        )
    return moment


def check_past(moment: datetime, field: str, *, ahead: float = CLOCKS_APART) -> datetime:
    """See that a moment has been, or is not further ahead than clocks are apart.

    Args:
        moment: The moment.
        field: The option that it is from.
        ahead: Seconds by which it may be ahead of the clock of this machine.

    Raises:
        InputError: It is still to come: there is nothing to judge at such a time.
    """
    now = time.time()
    if moment.timestamp() - now > ahead:
        raise InputError(
            f"{moment.isoformat()} is still to come; here it is "
            f"{datetime.fromtimestamp(now, UTC).isoformat(timespec='seconds')}",
            field=field,
            fix="give a time that has been, or set this machine's clock",
        )
    return moment


def run(inputs: GateInputs, surroundings: Surroundings) -> GateOutputs:
    """Judge the canary until there is a verdict; one that was found before is given again.

    Raises:
        InputError: The policy, a query or another input is wrong.
        CoalmineError: No Prometheus was named and no stack runs here.
    """
    since = check_past(parse_time(inputs.since), "--since")
    layout = Layout(surroundings.state)
    path = _evidence_file(layout, inputs.release_id)
    facts = {name: getattr(inputs, name) for name in ("release_id", "service", "canary", "stable")}
    known = _verdict_before(read_record(path), facts, since)
    if known:
        logger.info("the verdict was found before: %s", known["verdict"])
        return _outputs(known)
    from coalmine.gate.policy import THRESHOLDS, load_policy  # noqa: PLC0415 - quick `step --help`
    from coalmine.steps.person import person_behind  # noqa: PLC0415
    from coalmine.steps.wiring import prometheus_of  # noqa: PLC0415

    unnamed = THRESHOLDS if inputs.serving == "flagger" else ""
    plan = make_plan(
        load_policy(inputs.policy or unnamed), {**facts, "namespace": inputs.namespace}
    )
    if inputs.serving == "flagger" and inputs.stable:
        return _ruled(plan, inputs, surroundings, since, (facts, path))
    url = prometheus_of(inputs.prometheus_url, inputs.serving, surroundings)
    person = person_behind(inputs.launcher_url, inputs.release_id)
    return _judge(plan, url, since, (facts, path), person=person)


def _judge(
    plan: Plan,
    url: str,
    since: datetime,
    kept: tuple[Mapping[str, str], Path],
    *,
    person: Person | None,
) -> GateOutputs:
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415 - as above

    facts, path = kept
    record: Mapping[str, Any] = {}

    def observe(tick: Tick) -> None:
        nonlocal record
        record = gate_record(plan, tick, since, facts)
        write_record(path, record)

    with PrometheusSource(url) as source:
        run_gate(
            plan,
            source,
            since,
            clock=time.time,
            sleep=time.sleep,
            observe=observe,
            person=person,
        )
    return _outputs(record)


def _ruled(
    plan: Plan,
    inputs: GateInputs,
    surroundings: Surroundings,
    since: datetime,
    kept: tuple[Mapping[str, str], Path],
) -> GateOutputs:
    """Wait for the verdict of Flagger, which has been judging by the same policy."""
    from coalmine.serving.flagger.backend import FlaggerServing  # noqa: PLC0415 - as above
    from coalmine.steps.flagger import await_ruling  # noqa: PLC0415
    from coalmine.steps.wiring import serving_backend  # noqa: PLC0415

    backend = serving_backend(inputs.serving, surroundings, namespace=inputs.namespace)
    if not isinstance(backend, FlaggerServing):
        raise InputError("is not Flagger", field="--serving")
    tick = await_ruling(
        plan,
        since,
        ruling=lambda: backend.ruling(service=inputs.service, release_id=inputs.release_id),
        clock=time.time,
        sleep=time.sleep,
    )
    facts, path = kept
    record = gate_record(plan, tick, since, facts)
    write_record(path, record)
    return _outputs(record)


def _outputs(record: Mapping[str, Any]) -> GateOutputs:
    from coalmine.gate.report.render import render_gate  # noqa: PLC0415 - as above

    return GateOutputs(
        verdict=record["verdict"], reason=record["reason"], report=render_gate(record)
    )


def _evidence_file(layout: Layout, release_id: str) -> Path:
    if not RELEASE_ID.fullmatch(release_id):
        raise InputError(
            f"{release_id!r} is no release id",
            field="--release-id",
            fix="give letters, digits, '.', '_' and '-'",
        )
    return layout.releases / release_id / "gate.json"


def _verdict_before(
    record: Mapping[str, Any] | None, facts: Mapping[str, str], since: datetime
) -> Mapping[str, Any] | None:
    """Give what an evidence file holds, if it is final and about this very canary."""
    if not record or not record.get("ended") or any(record.get(k) != v for k, v in facts.items()):
        return None
    if datetime.fromisoformat(record["since"]) != _to_milliseconds(since):
        return None
    return record


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


STEP = Step(
    name="gate",
    summary="Judge the canary by a policy until there is a verdict.",
    inputs=GateInputs,
    outputs=GateOutputs,
    run=run,
)
"""The step."""
