"""``coalmine watch ID``: follow a release until it ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coalmine.cli.options import release_options
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from rich.console import Group

    from coalmine.cli.reading import Reading

__all__ = ["command", "follow", "news"]

POLL_SECONDS = 0.25
OPEN = {"accepted", "running"}


@click.command(
    cls=Command,
    examples=("coalmine watch 3f2a",),
    exits={0: "promoted", 1: "not promoted, or it cannot be followed"},
)
@click.argument("release_id", metavar="ID")
@release_options
def command(
    *, release_id: str, url: str, database: str, token: str, state: Path, output: str
) -> None:
    """Follow the release whose id is or begins with ID, until it ends.

    Live on a terminal, plain lines elsewhere. With '-o json' the release is printed at its end.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick

    sys.exit(follow(Reading(state, url, token, database), release_id, output))


def follow(reading: Reading, release_id: str, output: str = "text") -> int:
    """Show a release until it ends; gives the exit code."""
    if output == "json":
        last = _last(reading, release_id)
        click.echo(json.dumps(last, indent=2))
    elif sys.stdout.isatty():
        last = _show_live(reading, release_id)
    else:
        last = _show_lines(reading, release_id)
    return 0 if last["state"] == "promoted" else 1


def _readings(reading: Reading, release_id: str) -> Iterator[dict[str, Any]]:
    """Read a release again and again; the last reading is of its end."""
    release = reading.one(release_id)
    if not (reading.url or reading.database) and release["state"] in OPEN:
        _warn(reading.state)
    while True:
        yield release
        if release["state"] not in OPEN:
            return
        time.sleep(POLL_SECONDS)
        release = reading.one(release_id)


def _warn(state: Path) -> None:
    from coalmine.launcher.announce import read_announced  # noqa: PLC0415 - `--help` stays quick

    if not read_announced(state):
        click.echo(f"no launcher runs with its state in {state}: waiting for one", err=True)


def _last(reading: Reading, release_id: str) -> dict[str, Any]:
    release: dict[str, Any] = {}
    for release in _readings(reading, release_id):  # noqa: B007
        pass
    return release


def _show_lines(reading: Reading, release_id: str) -> dict[str, Any]:
    before: dict[str, Any] | None = None
    for release in _readings(reading, release_id):
        for line in news(before, release):
            click.echo(line)
        before = release
    assert before
    return before


def _show_live(reading: Reading, release_id: str) -> dict[str, Any]:
    from rich.live import Live  # noqa: PLC0415

    release: dict[str, Any] = {}
    with Live(refresh_per_second=4) as live:
        for release in _readings(reading, release_id):
            live.update(_picture(release))
    return release


def _picture(release: dict[str, Any]) -> Group:
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from coalmine.cli.runs import COLOURS, state_of, steps_table  # noqa: PLC0415

    style = COLOURS.get(state_of(release), "")
    return Group(Text(_headline(release), style=style), steps_table(release))


def news(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Say in lines what has changed between two readings of a release."""
    from coalmine.cli.runs import seconds_of  # noqa: PLC0415

    lines = []
    if before is None or (_where(before) != _where(now) and now["state"] in OPEN):
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


def _where(release: dict[str, Any]) -> tuple[str, bool]:
    return release["state"], bool(release["held"])


def _headline(release: dict[str, Any]) -> str:
    from coalmine.cli.runs import held_text  # noqa: PLC0415 - `--help` stays quick

    version = release["version"] or "latest"
    what = f"release {release['id']} of {release['name']}:{version} to {release['service']}"
    if release["held"]:
        return f"{what}: held ({held_text(release)})"
    why = f" ({release['reason']})" if release["reason"] else ""
    return f"{what}: {release['state']}{why}"
