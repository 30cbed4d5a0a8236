"""``coalmine down``: stop the stack on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from coalmine.cli.options import state_option

__all__ = ["command"]


@click.command()
@state_option
def command(state: Path) -> None:
    """Stop the stack on this machine, with every model server.

    Its state stays: the next `coalmine up` brings the same services back.
    """
    from coalmine.stack.stack import Stack  # noqa: PLC0415 - keeps `--help` quick

    if not state.exists():
        click.echo(f"nothing runs: there is no {state}")
        return
    Stack(state).stop()
    click.echo("stopped")
