"""Run one step from flat strings: read its inputs, do the work, write its outputs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine._base.files import write_atomic
from coalmine.steps.contract import (
    Step,
    Surroundings,
    default_of,
    input_fields,
    kind_of,
    output_fields,
    variable_of,
)

__all__ = ["parse_inputs", "run_step"]

logger = logging.getLogger(__name__)


def run_step(
    step: Step[Any, Any],
    *,
    values: Mapping[str, str],
    output_paths: Mapping[str, Path],
    environ: Mapping[str, str],
    surroundings: Surroundings,
) -> int:
    """Do a step's work once and give the process's exit code.

    Args:
        step: The step.
        values: Its inputs as they came, by name; an empty string counts as not given.
        output_paths: Where to write each output that is wanted.
        environ: ``COALMINE_<INPUT>`` stands in for a setting that is not given.
        surroundings: Where it runs.

    Returns:
        0 when done, 1 when it failed and trying again may help, 2 when the input is wrong.
    """
    try:
        outputs = step.run(parse_inputs(step, values, environ), surroundings)
        results = {spec.name: str(getattr(outputs, spec.name)) for spec in output_fields(step)}
        artifacts = {spec.name for spec in output_fields(step) if kind_of(spec)}
        for name, path in output_paths.items():
            if name not in artifacts:
                write_atomic(path, results[name])
        for name in artifacts & output_paths.keys():
            _write_artifact(name, output_paths[name], results[name])
    except CoalmineError as error:
        logger.error(error.message, extra={"fix": error.fix, "final": True})  # noqa: TRY400
        return error.exit_code
    except OSError as error:
        logger.error(str(error), extra={"fix": "", "final": True})  # noqa: TRY400
        return 1
    told = {name: text for name, text in results.items() if name not in artifacts}
    logger.info("done", extra={"outputs": told})
    return 0


def _write_artifact(name: str, path: Path, content: str) -> None:
    """Write what is for people to look at: no step fails for it, its work is done."""
    try:
        write_atomic(path, content)
    except OSError as error:
        logger.warning("the artifact %s was not written: %s", name, error)


def parse_inputs(
    step: Step[Any, Any], values: Mapping[str, str], environ: Mapping[str, str]
) -> Any:  # noqa: ANN401 - the step's own inputs class
    """Make a step's typed inputs from strings.

    Raises:
        InputError: One is missing or is no number where one is wanted.
    """
    return step.inputs(**{spec.name: _value(spec, values, environ) for spec in input_fields(step)})


def _value(
    spec: Field[Any], values: Mapping[str, str], environ: Mapping[str, str]
) -> str | int | float:
    text = values.get(spec.name) or environ.get(variable_of(spec)) or default_of(spec)
    option = "--" + spec.name.replace("_", "-")
    if text is None:
        raise InputError("is required", field=option, fix=f"give {option}")
    try:
        return _READERS[str(spec.type)](text)
    except ValueError:
        raise InputError(
            f"{text!r} is no {spec.type}", field=option, fix="give a number, for example 10"
        ) from None


_READERS: dict[str, type[str | int | float]] = {"str": str, "int": int, "float": float}
