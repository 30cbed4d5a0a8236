"""``coalmine bindings``: check a bindings file, and try it on an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from coalmine.cli.options import output_option
from coalmine.cli.told import Group

if TYPE_CHECKING:
    from coalmine.launcher.bindings import Binding
    from coalmine.launcher.release import NewRelease

__all__ = ["command", "load"]

PATH = click.Path(exists=True, dir_okay=False, path_type=Path)
PIPELINES = click.option(
    "--pipelines",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
    help="Folder of compiled pipelines; else those in the package.",
)


@click.group(
    cls=Group,
    examples=("coalmine bindings check bindings.yaml", "coalmine bindings test event.json"),
)
def command() -> None:
    """Check a bindings file, and try it on an event; no launcher is needed."""


@command.command(examples=("coalmine bindings check", "coalmine bindings check bindings.yaml"))
@click.argument("file", type=PATH, required=False)
@PIPELINES
@output_option
def check(file: Path | None, pipelines: Path | None, output: str) -> None:
    """Check the bindings in FILE, or the default ones: words, filters, pipelines, parameters."""
    bindings = load(file, pipelines)
    if output == "json":
        click.echo(json.dumps([_told(one) for one in bindings], indent=2))
        return
    for one in bindings:
        taken = " ".join(one.types)
        others = f", or if asked {' '.join(one.pipelines)}," if one.pipelines else ""
        click.echo(f"{one.name}: {taken} starts {one.pipeline}{others} on {one.engine}")


@command.command(
    examples=("coalmine bindings test event.json --bindings bindings.yaml",),
    exits={2: "nothing takes it, or the input is wrong"},
)
@click.argument("event", type=click.File("rb"))
@click.option("--bindings", type=PATH, help="The bindings file; else the default one.")
@PIPELINES
@output_option
def test(event: BinaryIO, bindings: Path | None, pipelines: Path | None, output: str) -> None:
    """Show what the CloudEvent in the file EVENT would start; '-' reads stdin."""
    from coalmine.events import read_event  # noqa: PLC0415 - `--help` stays quick
    from coalmine.launcher.intake import release_of  # noqa: PLC0415

    read = read_event({"content-type": "application/cloudevents+json"}, event.read())
    release = release_of(load(bindings, pipelines), read)
    if output == "json":
        click.echo(json.dumps(_would_start(release), indent=2))
        return
    click.echo(f"binding {release.binding} takes it: release {release.id}")
    click.echo(f"pipeline {release.pipeline} on {release.engine}, service {release.service}")
    click.echo(f"on conflict: {release.on_conflict}")
    for name, value in release.parameters.items():
        click.echo(f"  {name} = {value}")


@command.command(examples=("coalmine bindings schema > bindings.schema.json",))
def schema() -> None:
    """Print the JSON schema of a bindings file, for editors."""
    from coalmine.launcher.bindings_file import bindings_schema  # noqa: PLC0415

    click.echo(json.dumps(bindings_schema(), indent=2))


def load(file: Path | None, pipelines: Path | None = None) -> tuple[Binding, ...]:
    """Read bindings and hold them against the pipelines that they start.

    Args:
        file: The bindings file; else the default one.
        pipelines: Folder of compiled pipelines; else those in the package.

    Raises:
        InputError: Something in it is wrong; names it.
    """
    from coalmine.compiler.ir import read_graph  # noqa: PLC0415 - `--help` stays quick
    from coalmine.engines.settings import NAMES  # noqa: PLC0415
    from coalmine.launcher.pipelines import load_checked, pipeline_folders  # noqa: PLC0415

    return load_checked(file, pipeline_folders(pipelines), read_graph, NAMES)


def _told(binding: Binding) -> dict[str, Any]:
    asked = ("name", "types", "sources", "subjects")
    names = (*asked, "pipeline", "pipelines", "engine", "on_conflict")
    return {name: getattr(binding, name) for name in names}


def _would_start(release: NewRelease) -> dict[str, Any]:
    names = ("id", "binding", "service", "pipeline", "engine", "on_conflict", "parameters")
    return {name: getattr(release, name) for name in names}
