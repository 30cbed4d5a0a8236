"""``coalmine gate``: judge a canary anywhere a Prometheus can be asked."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import click

from coalmine.cli.options import output_option

__all__ = ["command"]

EXIT_CODES = {"promote": 0, "rollback": 1, "inconclusive": 3}


@click.command("gate")
@click.option("--policy", default="", help="Path of a gate policy, or the name of a shipped one.")
@click.option(
    "--prometheus",
    required=True,
    envvar="COALMINE_PROMETHEUS_URL",
    metavar="URL",
    help="Base URL of Prometheus.",
)
@click.option("--service", required=True, help="What users call.")
@click.option("--canary", required=True, help="Revision name of the version on trial.")
@click.option("--stable", default="", help="Revision name of the stable version, if there is one.")
@click.option("--since", help="When the canary got its share; RFC 3339.  [default: now]")
@output_option
def command(
    *,
    policy: str,
    prometheus: str,
    service: str,
    canary: str,
    stable: str,
    since: str | None,
    output: str,
) -> None:
    """Judge a canary by a policy, and exit with the verdict.

    Exit code 0: promote, 1: rollback, 3: inconclusive, 2: the input is wrong. Progress goes to
    stderr, one line a sample; the verdict goes to stdout.
    """
    from coalmine.gate.plan import make_plan  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.gate.policy import load_policy  # noqa: PLC0415
    from coalmine.gate.preflight import preflight  # noqa: PLC0415
    from coalmine.gate.record import gate_record  # noqa: PLC0415
    from coalmine.gate.runner import Tick, run_gate  # noqa: PLC0415
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415
    from coalmine.steps.gate import parse_time  # noqa: PLC0415

    begin = parse_time(since) if since else datetime.now(UTC)
    facts = {"service": service, "canary": canary, "stable": stable}
    rules = load_policy(policy)
    plan = make_plan(rules, facts)
    ticks: list[Tick] = []

    def observe(tick: Tick) -> None:
        ticks[:] = [tick]
        elapsed = tick.now - begin.timestamp()
        click.echo(f"{elapsed:6.1f}s  {tick.decision.verdict}: {tick.decision.reason}", err=True)

    with PrometheusSource(prometheus) as source:
        preflight(rules, source, facts)
        decision = run_gate(plan, source, begin, clock=time.time, sleep=time.sleep, observe=observe)
    if output == "json":
        click.echo(json.dumps(gate_record(plan, ticks[-1], begin, facts), indent=2))
    else:
        click.echo(f"{decision.verdict}: {decision.reason}")
    sys.exit(EXIT_CODES[decision.verdict])
