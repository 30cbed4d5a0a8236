"""``coalmine approve ID``, and what it shares with ``reject`` and ``cancel``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from coalmine.cli.options import release_options
from coalmine.cli.told import Command

__all__ = ["command", "deciding"]


def deciding(verb: str, told: str, *, text: str) -> click.Command:
    """Make the command by which a person decides about a release.

    Args:
        verb: Its word, which is the launcher's too.
        told: What the release then is.
        text: Its help.
    """

    @click.command(verb, cls=Command, help=text, examples=(f"coalmine {verb} 3f2a",))
    @click.argument("release_id", metavar="ID")
    @release_options
    def command(
        *, release_id: str, url: str, database: str, token: str, state: Path, output: str
    ) -> None:
        from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick
        from coalmine.events.send import ask_to  # noqa: PLC0415

        reading = Reading(state, url, token, database)
        whole = reading.whole(release_id)
        answer = ask_to(verb, reading.launcher(), whole, token=token)
        if output == "json":
            click.echo(json.dumps(asdict(answer)))
        elif answer.state == "cancelled":
            click.echo(f"release {answer.id} is cancelled")
        else:
            click.echo(f"release {answer.id} is {told}; see: coalmine watch {answer.id}")

    return command


command = deciding(
    "approve",
    "approved",
    text="""Approve the running release whose id is or begins with ID.

    Its canary is promoted when its gate holds it for a person, now or later. An answer stands;
    `coalmine cancel ID` ends the release nevertheless.
    """,
)
"""The command."""
