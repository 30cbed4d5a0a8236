"""What a step is: a plain function from typed inputs to typed outputs.

The command line, the component files and the tests all see the same two dataclasses. An input is a
flat string, a whole number or a float; its field's metadata has its help text. An output is a
string. Whatever else a step needs comes from its surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

__all__ = ["STEPS", "Step", "Surroundings", "artifact", "given", "load_step", "optional"]

I = TypeVar("I")  # noqa: E741 - inputs
O = TypeVar("O")  # noqa: E741 - outputs


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a step runs.

    Attributes:
        state: The folder in which the parts on this machine keep their state.
    """

    state: Path


@dataclass(frozen=True, slots=True)
class Step(Generic[I, O]):
    """One step of a release.

    Attributes:
        name: Its word on the command line.
        summary: What it does, in one sentence.
        inputs: A frozen dataclass of str, int and float fields.
        outputs: A frozen dataclass of str fields.
        run: The work. Raises CoalmineError or its kind InputError; may be called twice.
    """

    name: str
    summary: str
    inputs: type[I]
    outputs: type[O]
    run: Callable[[I, Surroundings], O]


def given(description: str) -> Any:  # noqa: ANN401 - as dataclasses.field is typed
    """Declare an input that must be given."""
    return field(metadata={"help": description})


def artifact(kind: str, description: str) -> Any:  # noqa: ANN401 - as above
    """Declare an output that is a file for people, and no value for other steps.

    Args:
        kind: Its type in a component file, such as ``HTML``.
        description: Its help text.
    """
    return field(metadata={"help": description, "artifact": kind})


def optional(description: str, default: str | float = "", *, setting: bool | str = False) -> Any:  # noqa: ANN401 - as above
    """Declare an input that has a default; an empty string on the command line means it too.

    Args:
        description: Its help text.
        default: Its value when it is not given.
        setting: It says how things are where the step runs, not what is released: when it is not
            given, the environment is asked before the default. Of other inputs an empty value is a
            value too (no stable version, no reason), which nothing around the step may replace. A
            text names the variable, where another step has one of the usual name.
    """
    return field(default=default, metadata={"help": description, "setting": setting})


STEPS = {
    "retrieve": "coalmine.steps.retrieve",
    "build": "coalmine.steps.build",
    "canary": "coalmine.steps.canary",
    "gate": "coalmine.steps.gate",
    "traffic": "coalmine.steps.traffic",
    "promote": "coalmine.steps.promote",
    "rollback": "coalmine.steps.rollback",
    "finalize": "coalmine.steps.finalize",
}
"""Every step and the module that holds it as ``STEP``; imported only when it is called."""


def kind_of(spec: Field[Any]) -> str:
    """Give the type of an artifact; empty for an output that is a value."""
    return str(spec.metadata.get("artifact", ""))


def load_step(name: str) -> Step[Any, Any]:
    """Import one step by its name."""
    step: Step[Any, Any] = import_module(STEPS[name]).STEP
    return step


def default_of(spec: Field[Any]) -> str | None:
    """Give an input's default as a string; None where it must be given."""
    return None if spec.default is MISSING else str(spec.default)


def variable_of(spec: Field[Any]) -> str:
    """Name the environment variable that stands in for a setting; empty for any other input."""
    setting = spec.metadata.get("setting")
    return setting if isinstance(setting, str) else f"COALMINE_{spec.name.upper()}" * bool(setting)


def input_fields(step: Step[Any, Any]) -> tuple[Field[Any], ...]:
    """List a step's inputs in their order."""
    return fields(step.inputs)


def output_fields(step: Step[Any, Any]) -> tuple[Field[Any], ...]:
    """List a step's outputs in their order."""
    return fields(step.outputs)
