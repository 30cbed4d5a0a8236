"""``coalmine bentos [STORE]``: list what a store holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from coalmine.cli.options import output_option, state_option
from coalmine.cli.told import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    examples=("coalmine bentos", "coalmine bentos s3://bentos/team -o json"),
)
@click.argument("store", default="")
@state_option
@output_option
def command(store: str, state: Path, output: str) -> None:
    """List the bentos in a store, a name a line, the newest version last.

    STORE is as retrieve takes it; without one, the store on this machine is meant.
    """
    from coalmine.stack.layout import Layout  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stores.select import select_store  # noqa: PLC0415

    names = select_store(store, own=Layout(state).bento_home).names()
    if output == "json":
        click.echo(json.dumps(names, indent=2))
        return
    for name, versions in names.items():
        click.echo(f"{name}  {' '.join(versions)}")
    if not names:
        click.echo("no bentos")
