"""``coalmine compile --via kfp-tekton``."""

from __future__ import annotations

from pathlib import Path

import click

from coalmine._base.errors import InputError
from coalmine.cli.beside import named_values
from coalmine.cli.written import write_output
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.via import compile_v1, modernise

__all__ = ["compile_via"]


def compile_via(  # noqa: PLR0917 - the options of the command
    source: Path,
    target: str,
    parameters: tuple[str, ...],
    pipeline: str,
    extras: str,
    output: Path | None,
) -> None:
    """Compile a source of kfp 1.8 with kfp-tekton, and write what Tekton takes of it.

    Raises:
        InputError: The options do not go together, or the source is wrong.
        CoalmineError: The environment cannot be made, or the file cannot be written.
    """
    if target != "tekton" or extras:
        raise InputError(
            "makes a run for tekton, and nothing else",
            field="--via kfp-tekton",
            fix="use --target tekton, without --with",
        )
    run, notes = modernise(compile_v1(source, target, pipeline=pipeline), named_values(parameters))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    command = f"coalmine compile {source.name} --target tekton --via kfp-tekton"
    write_output(
        Manifest(run, notes).to_yaml(header=(f"Made by: {command}", "Do not edit.")), output
    )
