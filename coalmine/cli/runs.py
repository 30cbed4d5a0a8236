"""``coalmine runs [ID]``: list releases, or show one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine._base.errors import InputError
from coalmine.cli.options import release_options
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["COLOURS", "aligned", "command", "held_text", "seconds_of", "state_of", "steps_table"]

STATES = (
    "accepted", "running", "held", "promoted", "rolled_back", "failed", "cancelled", "dead",
)  # fmt: skip
RELEASE_COLUMNS = ("id", "service", "version", "state", "verdict", "took", "why")
STEP_COLUMNS = ("step", "state", "tries", "took", "message")
COLOURS = {
    "promoted": "green",
    "succeeded": "green",
    "rolled_back": "yellow",
    "running": "cyan",
    "held": "magenta",
    "failed": "red",
    "cancelled": "red",
    "dead": "red",
    "skipped": "dim",
    "pending": "dim",
}


@click.command(
    cls=Command,
    examples=(
        "coalmine runs",
        "coalmine runs --release-state failed --since 2026-01-31T00:00:00Z",
        "coalmine runs 3f2a -o json",
    ),
)
@click.argument("release_id", metavar="[ID]", required=False)
@click.option(
    "--release-state", multiple=True, type=click.Choice(STATES), help="Only these; repeatable."
)
@click.option("--service", default="", help="Only those of this service.")
@click.option(
    "--since", default="", metavar="TIME", help="Only those asked for since then, RFC 3339."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="At most so many, the newest.",
)
@release_options
def command(
    *,
    release_id: str | None,
    release_state: tuple[str, ...],
    service: str,
    since: str,
    limit: int,
    url: str,
    database: str,
    token: str,
    state: Path,
    output: str,
) -> None:
    """List releases, the newest last, or show the one whose id is or begins with ID.

    Reads the ledger in the state folder or the database, for which no launcher need be running, or
    asks the one that is named. A release whose canary is held for a person is shown as held.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick

    if state.name in STATES and not state.exists():
        raise InputError(
            "names the folder with the releases, not their state",
            field="--state",
            fix=f"list by state with: coalmine runs --release-state {state.name}",
        )
    reading = Reading(state, url, token, database)
    if release_id is not None:
        _print_one(reading.one(release_id), output)
        return
    from coalmine.launcher.query import Query, parse_since  # noqa: PLC0415 - as above

    query = Query(service, release_state, parse_since(since) if since else None, limit)
    _print_all(reading.some(query), output)


def _print_all(releases: Sequence[dict[str, Any]], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(releases, indent=2))
        return
    if not releases:
        click.echo("no releases")
        return
    _print_table(RELEASE_COLUMNS, [_release_row(one) for one in releases])


def _print_one(release: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(release, indent=2))
        return
    for key in ("id", "service", "name", "version", "state", "verdict", "reason", "image_digest"):
        text = state_of(release) if key == "state" else _one_line(release[key])
        click.echo(f"{key.replace('_', ' ') + ':':14}{text or '-'}")
    if release["held"]:
        click.echo(f"{'held since:':14}{release['held']['since']}: {held_text(release)}")
    click.echo(f"{'requested:':14}{release['requested_at']} by {release['event']['source']}")
    _print_table(STEP_COLUMNS, [_step_row(step) for step in release["steps"]])


def _release_row(one: dict[str, Any]) -> list[str]:
    version = f"{one['name']}:{one['version'] or 'latest'}"
    names = [one["id"], one["service"], version, state_of(one), one["verdict"]]
    why = held_text(one) if one["held"] else _one_line(one["reason"])
    return [*names, seconds_of(one), why]


def _step_row(step: dict[str, Any]) -> list[str]:
    names = [step["name"], step["state"], str(step["attempts"])]
    return [*names, seconds_of(step), _one_line(step["message"])]


def state_of(release: dict[str, Any]) -> str:
    """Give a release's state, or that its canary is held."""
    return "held" if release["held"] else str(release["state"])


def held_text(release: dict[str, Any]) -> str:
    """Say in one line why a canary is held, and what to do about it."""
    way = f"coalmine approve {release['id']}, or reject"
    return _one_line(f"{release['held']['reason']}; {way}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def steps_table(release: dict[str, Any]) -> Table:
    """Show a release's steps as a table."""
    return _table(STEP_COLUMNS, [_step_row(step) for step in release["steps"]])


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print for people on a terminal; elsewhere one row a line, and nothing wrapped or cut."""
    if not sys.stdout.isatty():
        for line in aligned([columns, *rows]):
            click.echo(line)
        return
    from rich.console import Console  # noqa: PLC0415 - `--help` stays quick

    Console().print(_table(columns, rows))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Put rows of cells into lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table in which the first column, by which a row is named, is never broken."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415 - a value may look like markup

    table = Table(box=None, pad_edge=False)
    widest = max((len(row[0]) for row in rows), default=0)
    table.add_column(columns[0], no_wrap=True, min_width=widest)
    for column in columns[1:]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    return table


def seconds_of(timed: dict[str, Any]) -> str:
    """Say how long something took, or has taken until now; empty before it began."""
    if not timed["started_at"]:
        return ""
    ended = datetime.fromisoformat(timed["ended_at"]) if timed["ended_at"] else datetime.now(UTC)
    return f"{(ended - datetime.fromisoformat(timed['started_at'])).total_seconds():.1f} s"
