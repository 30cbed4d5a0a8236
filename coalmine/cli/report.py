"""``coalmine report``: write the HTML report of a release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from coalmine.cli.options import state_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    "report",
    cls=Command,
    examples=("coalmine report 3f2a", "coalmine report 3f2a -o report.html"),
)
@click.argument("release_id")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: releases/RELEASE_ID/report.html in the state folder]",
)
@state_option
def command(release_id: str, output: Path | None, state: Path) -> None:
    """Write the HTML report of a release, and print where it is.

    The page needs no network. It has charts while the stack's Prometheus still knows the time of
    the release.
    """
    from coalmine.gate.report.write import write_report  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.launcher.read import (  # noqa: PLC0415
        read_release,
    )

    release = read_release(state, release_id)
    path = write_report(state, release, versions=_stable_version(state, release), output=output)
    click.echo(path)


def _stable_version(state: Path, release: Mapping[str, Any]) -> dict[str, str]:
    """Find the version of what was stable before: its revision is named after its release."""
    from coalmine._base.errors import CoalmineError  # noqa: PLC0415 - as above
    from coalmine.launcher.read import (  # noqa: PLC0415
        read_release,
    )

    outputs = next((s.get("outputs") for s in release["steps"] if s.get("name") == "canary"), None)
    stable, prefix = (outputs or {}).get("stable") or "", f"{release['service']}-"
    if not stable.startswith(prefix):
        return {}
    try:
        before = read_release(state, stable.removeprefix(prefix))
    except CoalmineError:
        return {}
    return {stable: str(before["version"])}
