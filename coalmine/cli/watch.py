"""``coalmine watch ID``: follow a release until it ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine.cli.options import output_option, state_option

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["command", "follow", "news"]

POLL_SECONDS = 0.25
OPEN = {"accepted", "running"}


@click.command()
@click.argument("release_id", metavar="ID")
@state_option
@output_option
def command(release_id: str, state: Path, output: str) -> None:
    """Follow the release whose id is or begins with ID; exit with 0 if it is promoted, else 1.

    Live on a terminal, plain lines elsewhere. With '-o json' the release is printed at its end.
    """
    sys.exit(follow(state, release_id, output))


def follow(state: Path, release_id: str, output: str = "text") -> int:
    """Show a release until it ends; gives the exit code."""
    if output == "json":
        last = _last(state, release_id)
        click.echo(json.dumps(last, indent=2))
    elif sys.stdout.isatty():
        last = _show_live(state, release_id)
    else:
        last = _show_lines(state, release_id)
    return 0 if last["state"] == "promoted" else 1


def _readings(state: Path, release_id: str) -> Iterator[dict[str, Any]]:
    """Read a release again and again; the last reading is of its end."""
    from coalmine.launcher.announce import read_announced  # noqa: PLC0415 - `--help` stays quick
    from coalmine.launcher.read import read_release  # noqa: PLC0415

    if read_release(state, release_id)["state"] in OPEN and not read_announced(state):
        click.echo(f"no launcher runs with its state in {state}: waiting for one", err=True)
    while True:
        release: dict[str, Any] = read_release(state, release_id)
        yield release
        if release["state"] not in OPEN:
            return
        time.sleep(POLL_SECONDS)


def _last(state: Path, release_id: str) -> dict[str, Any]:
    release: dict[str, Any] = {}
    for release in _readings(state, release_id):  # noqa: B007
        pass
    return release


def _show_lines(state: Path, release_id: str) -> dict[str, Any]:
    before: dict[str, Any] | None = None
    for release in _readings(state, release_id):
        for line in news(before, release):
            click.echo(line)
        before = release
    assert before
    return before


def _show_live(state: Path, release_id: str) -> dict[str, Any]:
    from rich.live import Live  # noqa: PLC0415

    release: dict[str, Any] = {}
    with Live(refresh_per_second=4) as live:
        for release in _readings(state, release_id):
            live.update(_picture(release))
    return release


def _picture(release: dict[str, Any]) -> Group:
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from coalmine.cli.runs import COLOURS, steps_table  # noqa: PLC0415

    return Group(
        Text(_headline(release), style=COLOURS.get(release["state"], "")), steps_table(release)
    )


def news(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Say in lines what has changed between two readings of a release."""
    from coalmine.cli.runs import seconds_of  # noqa: PLC0415

    lines = []
    if before is None or (before["state"] != now["state"] and now["state"] in OPEN):
        lines.append(_headline(now))
    known = {step["name"]: step for step in before["steps"]} if before else {}
    for step in now["steps"]:
        old = known.get(step["name"], {"state": "pending", "attempts": 0})
        if (step["state"], step["attempts"]) != (old["state"], old["attempts"]):
            parts = [step["state"], seconds_of(step), step["message"]]
            lines.append(f"  {step['name']}: " + ", ".join(part for part in parts if part))
    if before is not None and before["state"] != now["state"] and now["state"] not in OPEN:
        lines.append(_headline(now))
    return lines


def _headline(release: dict[str, Any]) -> str:
    version = release["version"] or "latest"
    what = f"release {release['id']} of {release['name']}:{version} to {release['service']}"
    why = f" ({release['reason']})" if release["reason"] else ""
    return f"{what}: {release['state']}{why}"
