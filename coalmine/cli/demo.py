"""``coalmine demo``: the main job, shown on this machine."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from coalmine.cli.options import Finite, output_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=("coalmine demo", "coalmine demo -o json --rate 100"),
    exits={
        0: "promoted, promoted and rolled back, as it must be",
        1: "it came otherwise, or failed",
    },
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    default=".coalmine/demo",
    show_default=True,
    help="Folder for everything the demo keeps; what an earlier one left there is removed.",
)
@click.option(
    "--rate",
    type=Finite(20, 500),
    default=60,
    show_default=True,
    help="Requests a second that the simulated users send.",
)
@output_option
def command(state: Path, rate: float, output: str) -> None:
    """Release three versions of a model on this machine, and watch.

    The first two must be promoted and the third, which fails on 30 % of the requests, must be
    rolled back early, without one failed request that the bad model did not cause itself.
    Everything that was started is stopped again.
    """
    from coalmine.cli.narrator import LiveNarrator, PlainNarrator  # noqa: PLC0415
    from coalmine.demo.story import run_demo  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    to_terminal = sys.stdout.isatty() and output == "text"
    narrator = LiveNarrator() if to_terminal else PlainNarrator(quiet=output == "json")
    with narrator:
        summary = run_demo(state, narrator, rate=rate)
    if output == "json":
        click.echo(json.dumps(_plain(summary), indent=2))
    sys.exit(1 if summary.problems else 0)


def _plain(summary: Any) -> dict[str, Any]:  # noqa: ANN401 - imported only when it is run
    requests = [
        {"revision": answer.revision, "status": answer.status, "count": count}
        for answer, count in sorted(
            summary.tally.counts.items(), key=lambda item: (item[0].revision, item[0].status)
        )
    ]
    return {
        "releases": [asdict(row) for row in summary.rows],
        "requests": requests,
        "failed_not_by_the_bad_model": summary.unexcused,
        "problems": list(summary.problems),
    }
