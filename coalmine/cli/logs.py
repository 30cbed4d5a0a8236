"""``coalmine logs ID``: what the steps of a release write."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli.options import release_options
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from coalmine.cli.reading import Reading

__all__ = ["command"]

TRIES = 5
WAIT_SECONDS = 1.0


@click.command(
    cls=Command,
    examples=("coalmine logs 3f2a", "coalmine logs 3f2a --step gate -o json"),
)
@click.argument("release_id", metavar="ID")
@click.option("--step", default="", help="Only the log of this step.")
@release_options
def command(
    *,
    release_id: str,
    step: str,
    url: str,
    database: str,
    token: str,
    state: Path,
    output: str,
) -> None:
    """Show what the steps of the release write whose id is or begins with ID, until it ends.

    A line each, after the step's name; with '-o json' an object with step and text. Why a log
    cannot be had is told on stderr; in JSON as reason and fix. Where no launcher runs with the
    state folder, what is in it is shown.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick
    from coalmine.launcher.announce import read_announced  # noqa: PLC0415

    reading = Reading(state, url, token, database)
    whole = reading.whole(release_id)
    asked = reading.launcher() if url or database else read_announced(state)
    lines = _followed(asked, whole, step, token) if asked else _stored(reading, whole, step)
    for one in lines:
        _show(one, output)


def _show(said: Mapping[str, str], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(said))
    elif "text" in said:
        click.echo(f"{said['step']}: {said['text']}")
    else:
        fix = f" ({said['fix']})" if said["fix"] else ""
        click.echo(f"{said['step']}: its log cannot be had: {said['reason']}{fix}", err=True)


def _followed(url: str, release_id: str, step: str, token: str) -> Iterator[Mapping[str, str]]:
    """Follow a launcher's stream; one that breaks off is taken up again where it was."""
    from coalmine.client.launcher import follow_logs  # noqa: PLC0415 - `--help` stays quick

    position, failures = "", 0
    while True:
        try:
            for event in follow_logs(url, release_id, token=token, step=step, position=position):
                position, failures = event.id, 0
                if event.kind in {"log", "unreadable"}:
                    yield event.data
        except InputError:
            raise
        except CoalmineError:
            failures += 1
            if failures > TRIES:
                raise
            time.sleep(WAIT_SECONDS)
        else:
            return


def _stored(reading: Reading, release_id: str, step: str) -> Iterator[Mapping[str, str]]:
    from coalmine.engines.local.logs import read_log  # noqa: PLC0415

    folder = reading.state / "runs" / release_id
    for one in reading.one(release_id)["steps"]:
        name = one["name"]
        if step not in {"", name}:
            continue
        if not folder.is_dir() and one["attempts"]:
            fix = "ask the launcher that ran it; or it was removed"
            yield {"step": name, "reason": f"there is no {folder}", "fix": fix}
        else:
            start = 0
            while part := read_log(folder, name, start):
                start += len(part)
                for line in part.decode("utf-8", "replace").splitlines():
                    yield {"step": name, "text": line}
