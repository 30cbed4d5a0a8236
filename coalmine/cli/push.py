"""``coalmine push NAME:VERSION STORE``: put a bento into a store that others read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from coalmine.cli.options import output_option, state_option
from coalmine.cli.told import Command

__all__ = ["command"]

_MEGABYTE = 1_000_000


@click.command(
    cls=Command,
    examples=(
        "coalmine push iris_classifier:v2 s3://bentos/team",
        "coalmine push iris_classifier oci://registry.example.com/bentos",
    ),
)
@click.argument("tag", metavar="NAME[:VERSION]")
@click.argument("store")
@click.option("--source", default="", help="Store to take it from; empty means the own one.")
@click.option("--replace", is_flag=True, help="Replace another content of that version.")
@state_option
@output_option
def command(*, tag: str, store: str, source: str, replace: bool, state: Path, output: str) -> None:
    """Put a bento, with its models, into a store that others read.

    STORE is s3://bucket/prefix or oci://host/path. Without a version, or with latest, the newest is
    meant. What is there already is not sent again.
    """
    from coalmine.stack.layout import Layout  # noqa: PLC0415 - keeps `--help` quick
    from coalmine.stores.context import keep_bento  # noqa: PLC0415
    from coalmine.stores.names import parse_tag  # noqa: PLC0415
    from coalmine.stores.select import select_push_store, select_store  # noqa: PLC0415

    name, asked = parse_tag(tag)
    target, layout = select_push_store(store), Layout(state)
    origin = select_store(source, own=layout.bento_home)
    version = origin.resolve(name, asked)
    context, _ = keep_bento(layout.contexts, origin, name, version)
    with _shown(f"{name}:{version}", _size_of(context)) as report:
        pushed = target.push(context, (name, version), replace=replace, report=report)
    if output == "json":
        click.echo(json.dumps({"name": name, "version": version, **asdict(pushed)}, indent=2))
        return
    did = f"sent {_told(pushed.sent_bytes)}" if pushed.sent_bytes else "was there already"
    click.echo(f"{pushed.reference}  {did}  {pushed.digest}")


def _told(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= _MEGABYTE else f"{size / 1e3:.1f} kB"


def _size_of(folder: Path) -> int:
    return sum(item.lstat().st_size for item in folder.rglob("*") if not item.is_dir())


@contextmanager
def _shown(title: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far it is; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - `--help` stays quick
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=size)
        yield lambda more: progress.advance(task, more)
