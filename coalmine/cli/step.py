"""``coalmine step NAME``: what every component runs."""

from __future__ import annotations

import os
import sys
from dataclasses import Field
from pathlib import Path
from typing import Any

import click

from coalmine.cli.options import state_option
from coalmine.cli.told import Command, Group
from coalmine.steps.contract import (
    STEPS,
    Step,
    Surroundings,
    default_of,
    input_fields,
    load_step,
    output_fields,
    variable_of,
)

__all__ = ["command"]


class _Steps(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(STEPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return _command_of(load_step(cmd_name)) if cmd_name in STEPS else None


@click.group(
    cls=_Steps,
    examples=(
        "coalmine step retrieve --name iris_classifier --context-path context.txt",
        "coalmine step finalize --help",
    ),
)
def command() -> None:
    """Do the work of one task of a release.

    Inputs are options; an empty one is not given. A setting that is not given may stand in the
    environment, as its help says. Each output is written to the file that its --OUTPUT-path names.
    One JSON object a line on stderr. A step may be run twice: the second time it finds the work
    done.
    """


def _command_of(step: Step[Any, Any]) -> click.Command:
    def callback(state: Path, **options: str | Path | None) -> None:
        from coalmine._base.log import log_json_lines  # noqa: PLC0415
        from coalmine.steps.runner import run_step  # noqa: PLC0415

        log_json_lines(step=step.name)
        outputs = {spec.name: options.pop(f"{spec.name}_path") for spec in output_fields(step)}
        code = run_step(
            step,
            values={name: str(value or "") for name, value in options.items()},
            output_paths={name: Path(path) for name, path in outputs.items() if path},
            environ=os.environ,
            surroundings=Surroundings(state=state),
        )
        sys.exit(code)

    parameters = [_input_option(spec) for spec in input_fields(step)]
    parameters += [_output_option(spec) for spec in output_fields(step)]
    made = Command(
        step.name,
        callback=callback,
        params=list(parameters),
        help=step.summary,
        examples=(_example(step),),
    )
    return state_option(made)


def _example(step: Step[Any, Any]) -> str:
    needed = [spec for spec in input_fields(step) if default_of(spec) is None]
    given = " ".join(f"{_flag(spec.name)} {spec.name.upper()}" for spec in needed)
    return f"coalmine step {step.name} {given}"


def _input_option(spec: Field[Any]) -> click.Option:
    default = default_of(spec)
    kind = "required" if default is None else f"default: {default!r}"
    variable = variable_of(spec)
    return click.Option(
        [_flag(spec.name), spec.name],
        metavar=str(spec.type).upper(),
        allow_from_autoenv=False,
        help=f"{spec.metadata['help']} [{f'env: {variable}; ' if variable else ''}{kind}]",
    )


def _output_option(spec: Field[Any]) -> click.Option:
    return click.Option(
        [_flag(spec.name) + "-path", f"{spec.name}_path"],
        type=click.Path(dir_okay=False, path_type=Path),
        help=spec.metadata.get("help", f"File to write the output {spec.name} to."),
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
