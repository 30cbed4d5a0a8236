"""``coalmine release NAME[:VERSION]``: ask for a release of a bento version."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from coalmine.cli.options import launcher_option, output_option, state_option, token_option
from coalmine.cli.told import Command

__all__ = ["command"]

SOURCE = "/coalmine/cli"


@click.command(
    cls=Command,
    examples=(
        "coalmine release iris_classifier",
        "coalmine release iris_classifier:v2 --percent 20 --watch",
    ),
    exits={
        0: "accepted; with --watch: promoted",
        1: "it failed, and trying again may help; with --watch: not promoted",
    },
)
@click.argument("bento", metavar="NAME[:VERSION]")
@click.option("--service", help="What users call; else the bento's name.")
@click.option("--percent", type=click.IntRange(1, 99), help="The canary's share of the traffic.")
@click.option("--pipeline", help="One that the launcher's bindings offer, such as progressive.")
@click.option("--watch", is_flag=True, help="Follow the release until it ends.")
@click.option("--id", "event_id", help="The event's id; the same id again is the same release.")
@launcher_option
@token_option
@state_option
@output_option
def command(
    *,
    bento: str,
    service: str | None,
    percent: int | None,
    pipeline: str | None,
    watch: bool,
    event_id: str | None,
    url: str,
    token: str,
    state: Path,
    output: str,
) -> None:
    """Ask for a release of the bento NAME, in its newest version unless one is given."""
    from coalmine.cli.send import find_launcher, print_answer  # noqa: PLC0415
    from coalmine.events import new_event  # noqa: PLC0415 - `--help` stays quick
    from coalmine.events.send import send_event  # noqa: PLC0415
    from coalmine.launcher.bindings import PIPELINE  # noqa: PLC0415

    name, _, version = bento.partition(":")
    asked = {"name": name, "version": version, "service": service, "percent": percent}
    data: dict[str, object] = {key: value for key, value in asked.items() if value}
    extensions = {PIPELINE: pipeline} if pipeline else {}
    event = new_event(data=data, source=SOURCE, id=event_id or "", extensions=extensions)
    answer = send_event(url or find_launcher(state), event, token=token)
    if output == "text" or not watch:
        print_answer(answer, output)
    if watch:
        from coalmine.cli.reading import Reading  # noqa: PLC0415
        from coalmine.cli.watch import follow  # noqa: PLC0415

        sys.exit(follow(Reading(state, url, token), answer.id, output))
