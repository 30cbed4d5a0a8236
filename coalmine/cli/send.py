"""``coalmine send FILE``: send a CloudEvent to a launcher."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from coalmine.cli.options import output_option, state_option, token_option
from coalmine.cli.told import Command

if TYPE_CHECKING:
    from coalmine.events.send import Answer

__all__ = ["command", "find_launcher", "print_answer", "short_id"]

ID_CHARACTERS = 15


@click.command(
    cls=Command,
    examples=(
        "coalmine send event.json",
        "coalmine send - --url http://127.0.0.1:8080 < event.json",
    ),
)
@click.argument("file", type=click.File("rb"))
@click.option("--url", help="Base URL of the launcher; else the one with this state folder.")
@click.option("--binary", is_flag=True, help="Send in binary mode instead of structured mode.")
@click.option("--sink", is_flag=True, help="The URL is any event sink's: any good answer will do.")
@click.option(
    "--id-from", metavar="TEXT", help="Send it under an id made from TEXT, in place of its own."
)
@token_option
@state_option
@output_option
def command(
    *,
    file: BinaryIO,
    url: str | None,
    binary: bool,
    sink: bool,
    id_from: str | None,
    token: str,
    state: Path,
    output: str,
) -> None:
    """Send the CloudEvent in FILE, a JSON object with the event's attributes; '-' reads stdin.

    The event is checked first, then sent as it stands. Sent again it is the same release.
    """
    from coalmine.events import read_event  # noqa: PLC0415 - `--help` stays quick
    from coalmine.events.send import Message, deliver, encode_event, post_message  # noqa: PLC0415

    headers = {"content-type": "application/cloudevents+json"}
    body = file.read()
    event = read_event(headers, body)
    if id_from:
        event = replace(event, id=short_id(id_from))
    as_it_stands = Message(headers, body)
    message = encode_event(event, binary=binary) if binary or id_from else as_it_stands
    if sink:
        status = deliver(url or find_launcher(state), message, token=token)
        click.echo(json.dumps({"status": status}) if output == "json" else f"answered {status}")
        return
    print_answer(post_message(url or find_launcher(state), message, token=token), output)


def short_id(text: str) -> str:
    """Make an event's id from a text: 15 small letters and digits (75 bits of SHA-256)."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:ID_CHARACTERS]


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
    known = "" if answer.status == 202 else "known already, "  # noqa: PLR2004
    click.echo(f"release {answer.id} {known}{answer.state}: {answer.url}")
