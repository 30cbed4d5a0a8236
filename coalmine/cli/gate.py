"""``coalmine gate``: judge a canary anywhere a Prometheus can be asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from coalmine.cli.options import output_option

if TYPE_CHECKING:
    from coalmine.gate.judge import Decision
    from coalmine.gate.plan import Plan
    from coalmine.gate.runner import Tick
    from coalmine.metrics.protocol import MetricsSource

__all__ = ["command"]

EXIT_CODES = {"promote": 0, "rollback": 1, "inconclusive": 3, "continue": 3, "hold": 3}
MINUTE = 60.0
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


@click.group("gate", invoke_without_command=True)
@_canary_options
@click.option("--since", help="When the canary got its share; RFC 3339.  [default: now]")
@click.option(
    "--replay",
    nargs=2,
    metavar="START END",
    help="Judge a past canary from the history of Prometheus, as if START was the canary's start.",
)
@output_option
@click.pass_context
def command(
    context: click.Context, /, *, replay: tuple[str, str] | None, output: str, **given: str | None
) -> None:
    """Judge a canary by a policy, and exit with the verdict.

    Exit code 0: promote, 1: rollback, 3: inconclusive, 2: the input is wrong. Progress goes to
    stderr, one line a sample, or one a minute of a replay; the verdict goes to stdout.
    """
    if context.invoked_subcommand:
        return
    _require(context, given)
    begin = _parse(replay[0] if replay else given["since"]) or datetime.now(UTC)
    end = _parse(replay[1]) if replay else None
    ticks: list[Tick] = []

    def observe(tick: Tick) -> None:
        ticks[:] = [tick]
        elapsed = tick.now - begin.timestamp()
        click.echo(f"{elapsed:6.1f}s  {tick.decision.verdict}: {tick.decision.reason}", err=True)

    plan, facts, source = _prepared(given)
    with source:
        decision = (
            _replayed(plan, source, begin, end, observe)
            if end
            else _judged(plan, source, begin, observe)
        )
    if output == "json":
        _print_record(plan, ticks[-1], begin, facts)
    else:
        click.echo(f"{decision.verdict}: {decision.reason}")
    sys.exit(EXIT_CODES[decision.verdict])


@command.command("schema")
def schema_command() -> None:
    """Print the JSON schema of a policy file, for editors."""
    from coalmine.gate.schema import policy_schema  # noqa: PLC0415 - keeps `--help` quick

    click.echo(json.dumps(policy_schema(), indent=2))


@command.command("explain")
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
    from coalmine.gate.judge import judge  # noqa: PLC0415 - as above
    from coalmine.gate.record import gate_record  # noqa: PLC0415
    from coalmine.gate.runner import Tick, measure  # noqa: PLC0415

    _require(context, given, more=("since",))
    now = _parse(at) or datetime.now(UTC)
    begin = _parse(given["since"]) or now
    plan, facts, source = _prepared(given)
    with source:
        seen = measure(plan, source, begin.timestamp(), now.timestamp())
    decision = judge(plan.policy, seen, now.timestamp())
    return gate_record(plan, Tick(now.timestamp(), seen, decision), begin, facts)


def _stored(path: Path) -> dict[str, Any]:
    from coalmine._base.errors import InputError  # noqa: PLC0415 - as above
    from coalmine.gate.record import read_record  # noqa: PLC0415

    record = read_record(path)
    if not record or "checks" not in record or "policy" not in record:
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


def _parse(text: str | None) -> datetime | None:
    from coalmine.steps.gate import parse_time  # noqa: PLC0415 - as above

    return parse_time(text) if text else None


def _prepared(given: dict[str, str | None]) -> tuple[Plan, dict[str, str], Any]:
    from coalmine.gate.plan import make_plan  # noqa: PLC0415 - as above
    from coalmine.gate.policy import load_policy  # noqa: PLC0415
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415

    facts = {name: given[name] or "" for name in ("service", "canary", "stable")}
    variables = {**facts, "namespace": given["namespace"] or ""}
    plan = make_plan(load_policy(given["policy"] or ""), variables)
    return plan, facts, PrometheusSource(given["prometheus"] or "")


def _judged(
    plan: Plan, source: MetricsSource, begin: datetime, observe: Callable[[Tick], None]
) -> Decision:
    from coalmine.gate.preflight import preflight_plan  # noqa: PLC0415 - as above
    from coalmine.gate.runner import run_gate  # noqa: PLC0415

    preflight_plan(plan, source)
    return run_gate(plan, source, begin, clock=time.time, sleep=time.sleep, observe=observe)


def _replayed(
    plan: Plan,
    source: MetricsSource,
    begin: datetime,
    end: datetime,
    observe: Callable[[Tick], None],
) -> Decision:
    from coalmine._base.errors import InputError  # noqa: PLC0415 - as above
    from coalmine.gate.judge import Verdict  # noqa: PLC0415
    from coalmine.gate.replay import replay  # noqa: PLC0415
    from coalmine.gate.runner import measure  # noqa: PLC0415

    if end < begin:
        raise InputError("END is before START", field="--replay", fix="give the earlier one first")
    seen = measure(plan, source, begin.timestamp(), end.timestamp())
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


def _print_record(plan: Plan, tick: Tick, begin: datetime, facts: dict[str, str]) -> None:
    from coalmine.gate.record import gate_record  # noqa: PLC0415 - as above

    click.echo(json.dumps(gate_record(plan, tick, begin, facts), indent=2))
