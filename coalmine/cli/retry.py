"""``coalmine retry ID``: ask once more for a release that came to nothing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from coalmine.cli.options import launcher_option, output_option, state_option, token_option

__all__ = ["command"]


@click.command()
@click.argument("release_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Follow the new release until it ends.")
@launcher_option
@token_option
@state_option
@output_option
def command(
    *, release_id: str, watch: bool, url: str, token: str, state: Path, output: str
) -> None:
    """Ask once more for what the release asked for whose id is or begins with ID.

    It must have failed, been rolled back or been cancelled. The new release has an id of its own
    and waits its turn; asked again, it is the same one.
    """
    from coalmine.cli.reading import Reading  # noqa: PLC0415 - `--help` stays quick
    from coalmine.cli.send import find_launcher  # noqa: PLC0415
    from coalmine.events.send import ask_to  # noqa: PLC0415

    whole = release_id if url else str(Reading(state).one(release_id)["id"])
    answer = ask_to("retry", url or find_launcher(state), whole, token=token)
    if output == "json" and not watch:
        click.echo(json.dumps(asdict(answer)))
    elif output == "text":
        click.echo(f"release {answer.id} tries again, {answer.state}: {answer.url}")
    if watch:
        from coalmine.cli.watch import follow  # noqa: PLC0415

        sys.exit(follow(Reading(state, url, token), answer.id, output))
