"""``coalmine down``: stop the stack on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from coalmine.cli.options import output_option, state_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=("coalmine down",),
)
@state_option
@output_option
def command(state: Path, output: str) -> None:
    """Stop the stack on this machine, with every model server.

    Its state stays: the next `coalmine up` brings the same services back.
    """
    from coalmine.stack.stack import Stack  # noqa: PLC0415 - keeps `--help` quick

    there = state.exists()
    if there:
        Stack(state).stop()
    if output == "json":
        click.echo(json.dumps({"state": str(state), "stopped": there}, indent=2))
    else:
        click.echo("stopped" if there else f"nothing runs: there is no {state}")
