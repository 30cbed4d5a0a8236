"""``coalmine gc``: remove what nobody needs any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coalmine.cli.history import Forgotten, clean_releases
from coalmine.cli.needed import cutoff, in_progress, served_images
from coalmine.cli.options import Finite, database_option, output_option, state_option
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from coalmine.images.clean import Cleaned
    from coalmine.stores.clean import Removed

__all__ = ["command"]

MOST_DAYS = 36500


@dataclass(frozen=True, slots=True)
class _Gone:
    contexts: Sequence[Removed]
    layouts: Sequence[Cleaned]
    in_use: Sequence[str]
    full_builds: Sequence[str]
    left: str

    @property
    def size(self) -> int:
        return sum(one.size for one in self.contexts) + sum(one.size for one in self.layouts)


@click.command(
    cls=Command,
    examples=("coalmine gc --dry-run", "coalmine gc --days 3 --keep 5 --history-days 90"),
)
@click.option(
    "--days",
    type=Finite(min=0.05, max=MOST_DAYS),
    default=7.0,
    show_default=True,
    help="Keep what was asked for in so many days.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Keep so many images of a bento, the newest; all unless given.",
)
@click.option(
    "--history-days",
    type=Finite(min=1, max=MOST_DAYS),
    help="Remove releases that ended more than so many days ago; none unless given.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would be removed.")
@database_option
@state_option
@output_option
def command(
    *,
    days: float,
    keep: int | None,
    history_days: float | None,
    dry_run: bool,
    database: str,
    state: Path,
    output: str,
) -> None:
    """Remove build contexts, images and parts of images that nobody needs any more.

    Contexts go, and what was kept of images on their way to a registry or by buildah, when nobody
    has asked for them in some days. Images go only with --keep. What a service runs or tries stays,
    and so does what a release in progress may need, however long it has been running. Where a build
    or a push is under way, nothing is removed.

    With --history-days releases that ended long ago go, too, from the ledger in the state folder or
    the database: with their steps, their event, their runs and what those wrote here. The newest
    promotion of each service stays, and so does what a sink has yet to be told.
    """
    forgotten = (
        clean_releases(state.absolute(), database, history_days, dry_run=dry_run)
        if history_days
        else Forgotten()
    )
    gone = _clean(state.absolute(), days, keep, dry_run=dry_run)
    if output == "json":
        told = {"dry_run": dry_run, **_entry(gone), **_told(forgotten)}
        click.echo(json.dumps(told, indent=2))
        return
    did = "would be removed" if dry_run else "removed"
    images = sum(len(one.images) for one in gone.layouts)
    blobs = sum(one.blobs for one in gone.layouts)
    click.echo(
        f"{len(gone.contexts)} contexts, {images} images and {blobs} blobs {did}, "
        f"{gone.size / 1e6:.1f} MB"
    )
    if history_days:
        released = f"{len(forgotten.releases)} releases"
        click.echo(f"{released} and {forgotten.runs} runs of the local engine {did}")
    if gone.full_builds:
        click.echo(f"{len(gone.full_builds)} images in buildah's own store {did}")
    if gone.left:
        click.echo(f"buildah's own store was left alone: {gone.left}")
    for folder in gone.in_use:
        click.echo(f"left alone, as a build or a push uses it: {folder}")


def _clean(state: Path, days: float, keep: int | None, *, dry_run: bool) -> _Gone:
    from coalmine.images.clean import InUseError, Policy, clean_layout  # noqa: PLC0415
    from coalmine.images.layout import layouts_in  # noqa: PLC0415
    from coalmine.stack.layout import Layout  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stores.clean import clean_contexts  # noqa: PLC0415

    layout, running = Layout(state), in_progress(state)
    begun = [datetime.fromisoformat(str(one["requested_at"])) for one in running]
    before = cutoff(datetime.now(UTC), days, begun).timestamp()
    policy = Policy(before, keep, served_images(state))
    busy = {str(one["name"]) for one in running}
    cleaned, in_use = [], []
    for folder in layouts_in(layout.images):
        # A release in progress may have been given an old image again.
        careful = Policy(before, None, policy.needed) if folder.name in busy else policy
        try:
            cleaned.append(clean_layout(folder, careful, dry_run=dry_run))
        except InUseError:
            in_use.append(str(folder))
    contexts = clean_contexts(layout.contexts, before=before, dry_run=dry_run)
    full_builds, left = _clean_buildah(layout.images / ".buildah", before, dry_run=dry_run)
    return _Gone(contexts, cleaned, in_use, full_builds, left)


def _clean_buildah(folder: Path, before: float, *, dry_run: bool) -> tuple[tuple[str, ...], str]:
    """Clean buildah's store; where that cannot be done, say why, and go on with the rest."""
    from coalmine._base.errors import CoalmineError  # noqa: PLC0415
    from coalmine.images.buildah_store import BuildahStore  # noqa: PLC0415

    try:
        return BuildahStore(folder).clean(before=before, dry_run=dry_run), ""
    except CoalmineError as error:
        return (), error.message


def _told(forgotten: Forgotten) -> dict[str, object]:
    return {"releases": list(forgotten.releases), "runs": forgotten.runs}


def _entry(gone: _Gone) -> dict[str, object]:
    return {
        "bytes": gone.size,
        "removed": [{"context": str(one.context), "bytes": one.size} for one in gone.contexts],
        "images": [
            {"layout": str(one.folder), "images": one.images, "blobs": one.blobs, "bytes": one.size}
            for one in gone.layouts
            if one.images or one.blobs
        ],
        "in_use": list(gone.in_use),
        "full_builds": list(gone.full_builds),
        "full_builds_left": gone.left,
    }
