"""``coalmine retry ID``: ask once more for a release that came to nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from coalmine._base.errors import InputError
from coalmine.cli.options import release_options
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=("coalmine retry 3f2a --watch", "coalmine retry --sink http://broker.example/events"),
    exits={
        0: "asked for; with --watch: promoted",
        1: "it failed, and trying again may help; with --watch: not promoted",
    },
)
@click.argument("release_id", metavar="[ID]", required=False)
@click.option("--watch", is_flag=True, help="Follow the new release until it ends.")
@click.option(
    "--sink", default="", metavar="NAME", help="Put back what was put aside for this sink; no ID."
)
@release_options
def command(
    *,
    release_id: str | None,
    watch: bool,
    sink: str,
    url: str,
    database: str,
    token: str,
    state: Path,
    output: str,
) -> None:
    """Ask once more for what the release asked for whose id is or begins with ID.

    It must have failed, been rolled back or been cancelled. The new release has an id of its own
    and waits its turn; asked again, it is the same one.

    With --sink, which is named as in `coalmine status`, the events that this sink did not take for
    days are sent to it again.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick
    from coalmine.events.send import ask_to  # noqa: PLC0415

    if sink:
        if release_id or url or watch:
            raise click.UsageError("--sink goes with --state or --database alone")
        _put_back(state, database, sink, output)
        return
    if not release_id:
        raise click.UsageError("Missing argument 'ID'")
    reading = Reading(state, url, token, database)
    whole = reading.whole(release_id)
    answer = ask_to("retry", reading.launcher(), whole, token=token)
    if output == "json" and not watch:
        click.echo(json.dumps(asdict(answer)))
    elif output == "text":
        click.echo(f"release {answer.id} tries again, {answer.state}: {answer.url}")
    if watch:
        from coalmine.cli.watch import follow  # noqa: PLC0415

        sys.exit(follow(reading, answer.id, output))


def _put_back(state: Path, database: str, sink: str, output: str) -> None:
    from coalmine.launcher.database import Database, ledger_url  # noqa: PLC0415 - as above
    from coalmine.launcher.outbox import revive  # noqa: PLC0415
    from coalmine.launcher.place import opened  # noqa: PLC0415

    with opened(state, database):
        pass  # there is a ledger; a new one is not made
    with (
        contextlib.closing(Database(database or ledger_url(state))) as ledger,
        ledger.writing() as connection,
    ):
        count = revive(connection, sink)
    if not count:
        raise InputError(f"nothing was put aside for {sink!r}", fix="see: coalmine status")
    said = json.dumps({"sink": sink, "put_back": count})
    click.echo(said if output == "json" else f"{count} things are told to {sink} again")
