"""``coalmine gate``: judge a canary anywhere a Prometheus can be asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from coalmine.cli.options import output_option
from coalmine.cli.told import Group

if TYPE_CHECKING:
    from coalmine.gate.runner import Tick

__all__ = ["command"]

EXIT_CODES = {"promote": 0, "rollback": 1, "inconclusive": 3, "continue": 3, "hold": 3}
EVIDENCE = {
    "verdict",
    "reason",
    "policy",
    "since",
    "requests",
    "requests_query",
    "checks",
    "skipped",
}
"""What every evidence file has."""
CANARY = "--prometheus http://prometheus:9090 --service iris --canary r2"
"""What every example names."""
NO_VERDICT_GIVEN = {1: "", 3: "it failed; trying again may help"}
F = TypeVar("F", bound=Callable[..., Any])


def _canary_options(function: F) -> F:
    """Add what names the policy, the Prometheus and the canary."""
    for option in reversed(
        [
            click.option(
                "--policy", default="", help="Path of a gate policy, or the name of a shipped one."
            ),
            click.option(
                "--prometheus",
                envvar="COALMINE_PROMETHEUS_URL",
                metavar="URL",
                help="Base URL of Prometheus.  [required]",
            ),
            click.option("--service", help="What users call.  [required]"),
            click.option("--canary", help="Revision name of the version on trial.  [required]"),
            click.option(
                "--namespace",
                envvar="COALMINE_NAMESPACE",
                default="",
                help="Kubernetes namespace, for policies that use ${namespace}.",
            ),
            click.option(
                "--stable", default="", help="Revision name of the stable version, if there is one."
            ),
        ]
    ):
        function = option(function)
    return function


@click.group(
    "gate",
    cls=Group,
    invoke_without_command=True,
    examples=(
        f"coalmine gate {CANARY} --stable r1",
        f"coalmine gate {CANARY} --replay 2026-01-31T12:00:00Z 2026-01-31T12:30:00Z",
    ),
    exits={
        0: "promote",
        1: "rollback",
        3: "inconclusive, or it failed before it came to a verdict",
    },
)
@_canary_options
@click.option("--since", help="When the canary got its share; RFC 3339.  [default: now]")
@click.option(
    "--replay",
    nargs=2,
    metavar="START END",
    help="Judge a past canary from the history of Prometheus, as if START was the canary's start.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write an HTML page with all that the verdict is from.",
)
@output_option
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    replay: tuple[str, str] | None,
    report: Path | None,
    output: str,
    **given: str | None,
) -> None:
    """Judge a canary by a policy, and exit with the verdict.

    Progress goes to stderr, one line a sample, or one a minute of a replay; the verdict goes to
    stdout.
    """
    if context.invoked_subcommand:
        return
    from coalmine.cli import judging  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.gate.record import gate_record  # noqa: PLC0415

    _require(context, given)
    begin = (
        _parse(replay[0], "--replay", ahead=0) if replay else _parse(given["since"], "--since")
    ) or datetime.now(UTC)
    end = _parse(replay[1], "--replay", ahead=0) if replay else None
    ticks: list[Tick] = []

    def observe(tick: Tick) -> None:
        ticks[:] = [tick]
        elapsed = tick.now - begin.timestamp()
        click.echo(f"{elapsed:6.1f}s  {tick.decision.verdict}: {tick.decision.reason}", err=True)

    plan = judging.plan_of(given)
    with judging.source_of(given) as source:
        decision = (
            judging.replayed(plan, source, begin, end, observe)
            if end
            else judging.judged(plan, source, begin, observe)
        )
    record = gate_record(plan, ticks[-1], begin, judging.facts_of(given))
    if report:
        _write_report(report, record)
    told = f"{decision.verdict}: {decision.reason}"
    click.echo(json.dumps(record, indent=2) if output == "json" else told)
    sys.exit(EXIT_CODES[decision.verdict])


@command.command(
    "schema", examples=("coalmine gate schema > gate-policy.schema.json",), exits=NO_VERDICT_GIVEN
)
def schema_command() -> None:
    """Print the JSON schema of a policy file, for editors."""
    from coalmine.gate.schema import policy_schema  # noqa: PLC0415 - keeps `--help` quick

    click.echo(json.dumps(policy_schema(), indent=2))


@command.command(
    "explain",
    examples=(
        f"coalmine gate explain {CANARY} --since 2026-01-31T12:00:00Z",
        "coalmine gate explain --evidence .coalmine/local/releases/3f2a/gate.json",
    ),
    exits=NO_VERDICT_GIVEN,
)
@_canary_options
@click.option("--since", help="When the canary got its share; RFC 3339.  [required]")
@click.option("--at", metavar="TIME", help="When to look; RFC 3339.  [default: now]")
@click.option(
    "--evidence",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read a gate's evidence file, gate.json, and ask no Prometheus.",
)
@output_option
@click.pass_context
def explain_command(
    context: click.Context,
    /,
    *,
    at: str | None,
    evidence: Path | None,
    output: str,
    **given: str | None,
) -> None:
    """Show what each check sees: its query, its samples, its evidence."""
    from coalmine.gate.explain import explain  # noqa: PLC0415 - keeps `--help` quick

    record = _stored(evidence) if evidence else _looked(context, at, given)
    click.echo(json.dumps(record, indent=2) if output == "json" else explain(record))


def _looked(context: click.Context, at: str | None, given: dict[str, str | None]) -> dict[str, Any]:
    from coalmine.cli import judging  # noqa: PLC0415 - as above
    from coalmine.gate.judge import judge  # noqa: PLC0415
    from coalmine.gate.record import gate_record  # noqa: PLC0415
    from coalmine.gate.runner import Tick, measure  # noqa: PLC0415

    _require(context, given, more=("since",))
    now = _parse(at, "--at", ahead=0) or datetime.now(UTC)
    begin = _parse(given["since"], "--since") or now
    plan = judging.plan_of(given)
    with judging.source_of(given) as source:
        seen = measure(plan, source, begin.timestamp(), now.timestamp())
    decision = judge(plan.policy, seen, now.timestamp())
    return gate_record(plan, Tick(now.timestamp(), seen, decision), begin, judging.facts_of(given))


def _stored(path: Path) -> dict[str, Any]:
    from coalmine._base.errors import InputError  # noqa: PLC0415 - as above
    from coalmine.gate.record import read_record  # noqa: PLC0415

    record = read_record(path)
    if not record or not record.keys() >= EVIDENCE:
        raise InputError(
            f"{path} is no evidence of a gate",
            field="--evidence",
            fix="give releases/<release id>/gate.json of the state folder",
        )
    return record


def _require(
    context: click.Context, given: dict[str, str | None], more: tuple[str, ...] = ()
) -> None:
    for name in ("prometheus", "service", "canary", *more):
        if not given[name]:
            parameter = next(p for p in context.command.params if p.name == name)
            raise click.MissingParameter(ctx=context, param=parameter)


def _parse(text: str | None, field: str, **limit: float) -> datetime | None:
    """Read a time that has been, or is not further ahead than ``check_past`` allows."""
    from coalmine.steps.gate import check_past, parse_time  # noqa: PLC0415 - as above

    return check_past(parse_time(text, field), field, **limit) if text else None


def _write_report(path: Path, record: dict[str, Any]) -> None:
    from coalmine._base.files import write_atomic  # noqa: PLC0415 - as above
    from coalmine.gate.report.render import render_gate  # noqa: PLC0415

    try:
        write_atomic(path, render_gate(record))
    except OSError as error:  # the verdict stands all the same
        click.echo(f"the report was not written: {error}", err=True)
