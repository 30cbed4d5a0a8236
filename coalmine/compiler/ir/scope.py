"""What the tasks of one group see: their inputs, resolved, and what guards them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Condition
from coalmine.compiler.ir.iterators import select
from coalmine.compiler.ir.models import ArtifactInput, ArtifactSpec, TaskInput, TaskSpec
from coalmine.compiler.ir.operands import Operands
from coalmine.compiler.ir.placeholders import has_placeholder, parse_value
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.ir.values import to_text
from coalmine.compiler.ir.waits import Member, Waits, waits_of
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.value import Constant, FinalStatus, ParameterRef, Value

__all__ = ["CHANNEL", "Scope"]

CHANNEL = "pipelinechannel--"
LOOP_ITEM = "loop-item"
SETTINGS = {
    "base_image": "an image",
    "cpu_request": "a CPU request",
    "cpu_limit": "a CPU limit",
    "memory_request": "a memory request",
    "memory_limit": "a memory limit",
    "accelerator_type": "an accelerator",
    "accelerator_count": "an accelerator",
}
"""What the SDK writes as inputs that no component has."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a group of tasks stands.

    Attributes:
        prefix: Goes before the names of its tasks.
        inputs: The group's inputs that have a value.
        types: The type of each of the group's inputs.
        waits: What all of its tasks wait for, and the conditions that guard them.
        loops: The loops it stands in, from the outside in.
        optional: Parameters of the pipeline that may be left without a value.
        members: Its entries that are flat already, by their name within the group.
    """

    prefix: str
    inputs: Mapping[str, Value]
    types: Mapping[str, ParameterType]
    waits: Waits = field(default_factory=Waits)
    loops: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    members: dict[str, Member] = field(default_factory=dict)

    def arguments(
        self, spec: TaskSpec, parameters: Mapping[str, Parameter], *, task: str
    ) -> dict[str, Value]:
        """Resolve what a task's inputs get; an input left to its default has no entry.

        Raises:
            InputError: An input is unknown, lacks its value, or gets something unsupported.
        """
        within = self._within(spec, parameters, task)
        found: dict[str, Value] = {}
        for name, parameter in parameters.items():
            given = spec.inputs.parameters.get(name)
            value = self._resolve(given, parameter, within, task) if given else None
            if isinstance(value, ParameterRef) and value.otherwise is None:
                value = self._or_default(value, parameter)
            if value is not None:
                found[name] = value
        return found

    def artifacts(
        self, spec: TaskSpec, wanted: Mapping[str, ArtifactSpec], *, task: str
    ) -> dict[str, Value]:
        """Resolve where a task's input artifacts come from; only an optional one may be absent.

        Raises:
            InputError: One is unknown or missing.
        """
        if unknown := sorted(set(spec.inputs.artifacts) - set(wanted)):
            raise _not_taken(unknown[0], task)
        found = {name: self._artifact(of, task) for name, of in spec.inputs.artifacts.items()}
        given = {name: value for name, value in found.items() if value is not None}
        if missing := [name for name in wanted if name not in given]:
            needed = [name for name in missing if not wanted[name].is_optional]
            if needed:
                raise InputError(
                    f"task {task!r}: the input artifact {needed[0]!r} is not given",
                    fix="give it one in the pipeline",
                )
        return given

    def _artifact(self, given: ArtifactInput, task: str) -> Value | None:
        if given.task_output_artifact is not None:
            selector = given.task_output_artifact
            return self.output(selector.producer_task, selector.output_artifact_key, task=task)
        return self.inputs.get(given.component_input_artifact or "")

    def _within(
        self, spec: TaskSpec, parameters: Mapping[str, Parameter], task: str
    ) -> dict[str, Value]:
        """Resolve what the f-strings of a task are made of; the SDK adds it to its inputs."""
        added = {name: of for name, of in spec.inputs.parameters.items() if name not in parameters}
        if unknown := sorted(name for name in added if not name.startswith(CHANNEL)):
            raise _not_taken(unknown[0], task)
        found = {name: self._resolve(of, Parameter(name), {}, task) for name, of in added.items()}
        return {name: value for name, value in found.items() if value is not None}

    def conditions(
        self,
        spec: TaskSpec,
        inputs: Mapping[str, Value],
        types: Mapping[str, ParameterType],
        *,
        task: str,
    ) -> tuple[Condition, ...]:
        """Resolve the conditions that guard a task or group, by the inputs it is given."""
        text = spec.trigger_policy.condition
        return Operands(inputs, types, text, task).comparisons() if text else ()

    def before(self, spec: TaskSpec, *, task: str) -> list[Member]:
        """Find the entries that a task's ``dependentTasks`` name."""
        return [self._member(name, task) for name in spec.dependent_tasks]

    def waits_for(self, spec: TaskSpec, *, task: str) -> Waits:
        """Work out what a task waits for, what its group waits for included."""
        return self.waits.and_those(waits_of(self.before(spec, task=task)))

    def _resolve(
        self, given: TaskInput, parameter: Parameter, within: Mapping[str, Value], task: str
    ) -> Value | None:
        sources = (
            given.runtime_value,
            given.task_output_parameter,
            given.component_input_parameter,
            given.task_final_status,
        )
        if sum(source is not None for source in sources) != 1:
            raise InputError(
                f"task {task!r}: input {parameter.name!r} needs exactly one source of its value",
                fix="compile the pipeline again",
            )
        if given.runtime_value is not None:
            return _constant(given.runtime_value.constant, parameter, within, task)
        if given.task_final_status is not None:
            return FinalStatus(given.task_final_status.producer_task)
        if given.task_output_parameter is not None:
            selector = given.task_output_parameter
            found: Value | None = self.output(
                selector.producer_task, selector.output_parameter_key, task=task
            )
        else:
            found = self._own_input(given.component_input_parameter or "", task)
        if given.parameter_expression_selector:
            return select(found, given.parameter_expression_selector, parameter, task=task)
        return found

    def may_be_absent(self, value: Value) -> bool:
        """Tell whether nobody knows before the run starts if there is such a value."""
        if not isinstance(value, ParameterRef):
            return False
        return value.name in self.optional and value.otherwise is None

    def _or_default(self, value: ParameterRef, parameter: Parameter) -> ParameterRef:
        """Let an input take its default if the parameter behind it was left without a value."""
        optional = value.name in self.optional
        return replace(value, otherwise=parameter.default) if optional else value

    def _own_input(self, name: str, task: str) -> Value | None:
        if name not in self.types:
            raise InputError(
                f"task {task!r} takes {name!r}, which is no input of the group it stands in",
                fix=_fix_of(name),
            )
        return self.inputs.get(name)

    def output(self, producer: str, key: str, *, task: str) -> Value:
        """Find an output of another entry of this group."""
        member = self._member(producer, task)
        if key not in member.outputs:
            raise InputError(
                f"task {task!r} takes the output {key!r} of {producer!r}, which has no such output",
                fix=_fix_of(key)
                if LOOP_ITEM in key
                else f"use one of: {', '.join(sorted(member.outputs)) or 'it has none'}",
            )
        return member.outputs[key]

    def _member(self, name: str, task: str) -> Member:
        if name not in self.members:
            raise InputError(
                f"task {task!r} waits for {name!r}, which does not exist beside it",
                fix="compile the pipeline again",
            )
        return self.members[name]


def _constant(value: object, parameter: Parameter, within: Mapping[str, Value], task: str) -> Value:
    what = f"the value of {parameter.name!r}"
    text = to_text(value, parameter.type, what=what, task=task)
    if not has_placeholder(text):
        return Constant(text)
    if parameter.type is not ParameterType.STRING:
        raise unsupported(task, f"a placeholder within the value of {parameter.name!r} ({text})")
    return parse_value(text, within, task=task)


def _not_taken(name: str, task: str) -> InputError:
    if what := SETTINGS.get(name):
        return unsupported(
            task, f"{what} made of a parameter", fix="write it in the pipeline, or run it on kfp"
        )
    return InputError(
        f"task {task!r} gives a value to {name!r}, which its component does not take",
        fix="compile the pipeline again",
    )


def _fix_of(name: str) -> str:
    """Say how to mend a name that leads nowhere; the SDK writes such ones for items of loops."""
    if LOOP_ITEM in name:
        return (
            "the KFP SDK loses the item of a loop that an f-string within a group or a loop inside "
            "of it holds: give the item to an input of its own"
        )
    return "compile the pipeline again"
