"""``coalmine gc``: remove build contexts that nobody needs any more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from coalmine.cli.options import output_option, state_option

__all__ = ["command", "cutoff"]


@click.command()
@click.option(
    "--days",
    type=click.FloatRange(min=0.05),
    default=7.0,
    show_default=True,
    help="Keep what was asked for in so many days.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would be removed.")
@state_option
@output_option
def command(days: float, dry_run: bool, state: Path, output: str) -> None:
    """Remove build contexts that nobody has asked for in some days.

    What a release in progress may need stays, however long it has been running. Images stay.
    """
    from coalmine.stack.layout import Layout  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stores.clean import clean_contexts  # noqa: PLC0415

    before = cutoff(datetime.now(UTC), days, _begun(state))
    gone = clean_contexts(Layout(state).contexts, before=before.timestamp(), dry_run=dry_run)
    size = sum(one.size for one in gone)
    if output == "json":
        removed = [{"context": str(one.context), "bytes": one.size} for one in gone]
        click.echo(json.dumps({"dry_run": dry_run, "bytes": size, "removed": removed}, indent=2))
        return
    did = "would be removed" if dry_run else "removed"
    click.echo(f"{len(gone)} contexts {did}, {size / 1e6:.1f} MB")


def cutoff(now: datetime, days: float, begun: list[datetime]) -> datetime:
    """Find the moment before which nothing is needed. Pure.

    Args:
        now: The time.
        days: How long everything is kept.
        begun: When each release in progress was asked for; it has asked for its context since.
    """
    return min([now - timedelta(days=days), *begun])


def _begun(state: Path) -> list[datetime]:
    from coalmine.launcher.read import read_releases  # noqa: PLC0415

    if not (state / "ledger.db").is_file():
        return []
    releases = [one for one in read_releases(state) if not one["ended_at"]]
    return [datetime.fromisoformat(str(one["requested_at"])) for one in releases]
