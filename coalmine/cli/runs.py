"""``coalmine runs [ID]``: list releases, or show one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine.cli.options import output_option, state_option

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["COLOURS", "command", "seconds_of", "steps_table"]

STATES = ("accepted", "running", "promoted", "rolled_back", "failed", "cancelled")
COLOURS = {
    "promoted": "green",
    "succeeded": "green",
    "rolled_back": "yellow",
    "running": "cyan",
    "failed": "red",
    "cancelled": "red",
    "skipped": "dim",
    "pending": "dim",
}


@click.command()
@click.argument("release_id", metavar="[ID]", required=False)
@click.option("--release-state", type=click.Choice(STATES), help="List only these.")
@state_option
@output_option
def command(release_id: str | None, release_state: str | None, state: Path, output: str) -> None:
    """List releases, the oldest first, or show the one whose id is or begins with ID.

    Reads the ledger in the state folder; no launcher need be running.
    """
    from coalmine.launcher.read import read_release, read_releases  # noqa: PLC0415

    if release_id:
        _print_one(read_release(state, release_id), output)
        return
    chosen = [one for one in read_releases(state) if release_state in (None, one["state"])]
    _print_all(chosen, output)


def _print_all(releases: Sequence[dict[str, Any]], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(releases, indent=2))
        return
    from rich.console import Console  # noqa: PLC0415

    if not releases:
        click.echo("no releases")
        return
    Console().print(_releases_table(releases))


def _print_one(release: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(release, indent=2))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    for key in ("id", "service", "name", "version", "state", "verdict", "reason", "image_digest"):
        console.print(Text(f"{key.replace('_', ' ') + ':':14}{release[key] or '-'}"))
    console.print(
        Text(f"{'requested:':14}{release['requested_at']} by {release['event']['source']}")
    )
    console.print(steps_table(release))


def _releases_table(releases: Sequence[dict[str, Any]]) -> Table:
    table = _table("id", "service", "version", "state", "verdict", "took", "why")
    for one in releases:
        version = f"{one['name']}:{one['version'] or 'latest'}"
        _add(
            table,
            one["id"],
            one["service"],
            version,
            one["state"],
            one["verdict"],
            seconds_of(one),
            one["reason"],
        )
    return table


def steps_table(release: dict[str, Any]) -> Table:
    """Show a release's steps as a table."""
    table = _table("step", "state", "tries", "took", "message")
    for step in release["steps"]:
        _add(
            table,
            step["name"],
            step["state"],
            str(step["attempts"]),
            seconds_of(step),
            step["message"],
        )
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text  # noqa: PLC0415 - a value may look like markup

    table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))


def seconds_of(timed: dict[str, Any]) -> str:
    """Say how long something took, or has taken until now; empty before it began."""
    if not timed["started_at"]:
        return ""
    ended = datetime.fromisoformat(timed["ended_at"]) if timed["ended_at"] else datetime.now(UTC)
    return f"{(ended - datetime.fromisoformat(timed['started_at'])).total_seconds():.1f} s"
