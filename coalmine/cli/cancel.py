"""``coalmine cancel ID``: end a release before its own end."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from coalmine.cli.options import (
    database_option,
    launcher_option,
    output_option,
    state_option,
    token_option,
)

__all__ = ["command"]


@click.command()
@click.argument("release_id", metavar="ID")
@launcher_option
@database_option
@token_option
@state_option
@output_option
def command(
    *, release_id: str, url: str, database: str, token: str, state: Path, output: str
) -> None:
    """Cancel the release whose id is or begins with ID.

    One that has not begun is cancelled at once. The running step of another is ended, and its
    canary is taken away; `coalmine watch ID` shows the end.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick
    from coalmine.events.send import ask_to  # noqa: PLC0415

    reading = Reading(state, url, token, database)
    whole = reading.whole(release_id)
    answer = ask_to("cancel", reading.launcher(), whole, token=token)
    if output == "json":
        click.echo(json.dumps(asdict(answer)))
    elif answer.state == "cancelled":
        click.echo(f"release {answer.id} is cancelled")
    else:
        click.echo(f"release {answer.id} is being cancelled; see: coalmine watch {answer.id}")
