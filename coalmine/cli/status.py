"""``coalmine status``: what runs on this machine, and what is routed where."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from coalmine._base.errors import CoalmineError
from coalmine.cli.options import database_option, launcher_option, output_option, state_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=("coalmine status", "coalmine status --launcher http://127.0.0.1:8080 -o json"),
)
@launcher_option
@database_option
@state_option
@output_option
def command(url: str, database: str, state: Path, output: str) -> None:
    """Show what runs on this machine and what is routed where.

    What is routed is asked of Envoy itself. How many releases there are, and what each sink has yet
    to be told, is read from the ledger; with --database or --launcher from there, and nothing else
    is shown.
    """
    from coalmine.cli.waiting import of_launcher, of_ledger  # noqa: PLC0415 - keeps `--help` quick

    if url:
        status = of_launcher(url)
    elif database:
        status = of_ledger(state, database)
    else:
        ledger = of_ledger(state, "") if (state / "ledger.db").is_file() else {}
        status = _machine_of(state, ledger) | ledger
    if output == "json":
        click.echo(json.dumps(status, indent=2, default=str))
        return
    for line in _lines(status):
        click.echo(line)


def _machine_of(state: Path, ledger: dict[str, Any]) -> dict[str, Any]:
    """Read what runs here; of a launcher without a stack there is its ledger to tell of."""
    try:
        return _status(state)
    except CoalmineError as error:
        if not ledger:
            raise
        click.echo(error.message, err=True)
        return {}


def _status(state: Path) -> dict[str, Any]:
    from coalmine.serving.local import LocalServing  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stack.stack import Stack  # noqa: PLC0415

    stack = Stack(state)
    serving = LocalServing.of(state)
    return {
        "state": str(state),
        "endpoints": asdict(stack.endpoints()),
        "programs": [
            {**asdict(program), "since": _moment(program.since)} for program in stack.programs()
        ],
        "services": [asdict(serving.observe(service)) for service in serving.services()],
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else ""


def _lines(status: dict[str, Any]) -> list[str]:
    from coalmine.cli.waiting import lines_of_ledger  # noqa: PLC0415 - keeps `--help` quick

    ledger = lines_of_ledger(status) if "releases" in status else []
    return [*_machine(status), *([""] if "endpoints" in status else []), *ledger]


def _machine(status: dict[str, Any]) -> list[str]:
    if "endpoints" not in status:
        return []
    lines = [f"{name:<12} {url}" for name, url in status["endpoints"].items()]
    lines += ["", "PROCESS".ljust(40) + "STATE"]
    lines += [
        f"{program['name']:<40}{program['state']:<10}{program['detail']}"
        for program in status["programs"]
    ]
    for service in status["services"]:
        lines += ["", f"{service['service']}  {service['url'] or 'is not routed'}"]
        lines += [_share(share) for share in service["shares"]]
        lines += [_release(service["record"])]
    return lines


def _share(share: dict[str, Any]) -> str:
    ready = "" if share["ready"] else "  does not answer"
    return f"  {share['percent']:>3} %  {share['version']:<20} {share['revision']}{ready}"


def _release(record: dict[str, Any]) -> str:
    return f"  newest release {record['release_id']}: {record['phase']}"
