"""``coalmine send FILE``: send a CloudEvent to a launcher."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from coalmine.cli.options import output_option, state_option, token_option

if TYPE_CHECKING:
    from coalmine.events.send import Answer

__all__ = ["command", "find_launcher", "print_answer"]


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--url", help="Base URL of the launcher; else the one with this state folder.")
@click.option("--binary", is_flag=True, help="Send in binary mode instead of structured mode.")
@token_option
@state_option
@output_option
def command(
    *, file: BinaryIO, url: str | None, binary: bool, token: str, state: Path, output: str
) -> None:
    """Send the CloudEvent in FILE, a JSON object with the event's attributes; '-' reads stdin.

    The event is checked first, then sent as it stands. Sent again it is the same release.
    """
    from coalmine.events import read_event  # noqa: PLC0415 - `--help` stays quick
    from coalmine.events.send import Message, encode_event, post_message  # noqa: PLC0415

    headers = {"content-type": "application/cloudevents+json"}
    body = file.read()
    event = read_event(headers, body)
    message = encode_event(event, binary=True) if binary else Message(headers, body)
    print_answer(post_message(url or find_launcher(state), message, token=token), output)


def find_launcher(state: Path) -> str:
    """Find the launcher of a state folder.

    Raises:
        CoalmineError: None was started with it.
    """
    from coalmine.launcher.announce import read_announced  # noqa: PLC0415
    from coalmine.stack.layout import Layout  # noqa: PLC0415

    return read_announced(state) or Layout(state).read_endpoints().launcher


def print_answer(answer: Answer, output: str) -> None:
    """Print what the launcher said."""
    if output == "json":
        click.echo(json.dumps(asdict(answer)))
        return
    new = "accepted" if answer.status == 202 else "known already"  # noqa: PLR2004
    click.echo(f"release {answer.id} {new}, {answer.state}: {answer.url}")
