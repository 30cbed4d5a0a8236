"""Undo the nesting: walk the groups of a pipeline and collect its container tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Loop
from coalmine.compiler.ir.containers import Executors, read_retry
from coalmine.compiler.ir.imports import imported, is_remote
from coalmine.compiler.ir.iterators import gathered, read_loop
from coalmine.compiler.ir.models import ArtifactSpec, Component, Dag, TaskSpec
from coalmine.compiler.ir.refuse import check, unsupported, within
from coalmine.compiler.ir.scope import CHANNEL, Scope
from coalmine.compiler.ir.values import parameter
from coalmine.compiler.ir.waits import Member, Waits
from coalmine.compiler.order import sort_names
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import NAME, Artifact, Task
from coalmine.compiler.value import Constant, LoopItem, OneOf, TaskOutputRef, Value, references

__all__ = ["COMPLETED", "Flattener"]

SUCCEEDED = "ALL_UPSTREAM_TASKS_SUCCEEDED"
COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"

CONTROL_FLOW = re.compile(r"(condition|condition-branches|exit-handler|for-loop)-\d+")
LONGEST_NAME = 63
DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Flattener:
    """Turns the entries of a group into flat tasks.

    Attributes:
        components: Every component of the file, still unread, by its name.
        executors: How each is run.
        loops: Those found on the way, each behind those around it.
    """

    components: Mapping[str, Any]
    executors: Executors
    loops: list[Loop] = field(default_factory=list)

    def group(self, dag: Dag, scope: Scope, *, depth: int = 0) -> Member:
        """Flatten all entries of a group.

        Args:
            dag: The group.
            scope: Where it stands; its ``members`` are filled.
            depth: How deep it is nested.

        Raises:
            InputError: Something in it is wrong or unsupported.
        """
        if depth > DEEPEST:
            raise InputError(
                f"groups are nested more than {DEEPEST} deep; does one hold itself?",
                fix="compile the pipeline again",
            )
        for name in sort_names({name: _needs(spec) for name, spec in dag.tasks.items()}):
            if name in dag.tasks:
                with within(name):
                    scope.members[name] = self.entry(name, dag.tasks[name], scope, depth=depth)
        outputs: dict[str, Value] = {
            key: _one_of(
                [
                    scope.output(item.producer_subtask, item.output_parameter_key, task=key)
                    for item in output.selectors
                ],
                task=f"{scope.prefix}{key}",
            )
            for key, output in dag.outputs.parameters.items()
        }
        for key, artifact in dag.outputs.artifacts.items():
            name = f"{scope.prefix}{key}"
            outputs[key] = _one_of(
                [
                    scope.output(item.producer_subtask, item.output_artifact_key, task=name)
                    for item in artifact.artifact_selectors
                ],
                task=name,
            )
        flat = tuple(task for member in scope.members.values() for task in member.tasks)
        return Member(flat, outputs, scope.waits, scope.loops)

    def entry(self, name: str, spec: TaskSpec, scope: Scope, *, depth: int = 0) -> Member:
        """Flatten one entry: a container task or a sub-group."""
        if spec.trigger_policy.strategy not in {"", SUCCEEDED, COMPLETED}:
            raise unsupported(name, f"the trigger strategy {spec.trigger_policy.strategy}")
        component = self.component(spec, task=name)
        if (component.dag is None) == (component.executor_label is None):
            raise InputError(
                f"task {name!r}: its component is neither a container nor a group",
                fix="compile the pipeline again",
            )
        if component.dag is None and (importer := self.executors.importer(component, task=name)):
            arguments = scope.arguments(spec, _parameters(component, task=name), task=name)
            return Member((), {"artifact": imported(importer, arguments, task=name)})
        if component.dag is None:
            return self._container(name, spec, component, scope)
        return self._subgroup(name, spec, component, scope, depth)

    def component(self, spec: TaskSpec, *, task: str) -> Component:
        """Read the component of an entry."""
        name = spec.component_ref.name
        if name not in self.components:
            raise InputError(
                f"task {task!r} uses the component {name!r}, which the file does not hold",
                fix="compile the pipeline again",
            )
        return check(Component, self.components[name], place=f"components.{name}", task=task)

    def _container(self, name: str, spec: TaskSpec, component: Component, scope: Scope) -> Member:
        flat = _legal(scope.prefix + name)
        inputs = _parameters(component, task=name)
        outputs = tuple(
            parameter(key, output, task=name)
            for key, output in component.output_definitions.parameters.items()
        )
        arguments = scope.arguments(spec, inputs, task=name)
        wanted = component.input_definitions.artifacts
        artifacts = scope.artifacts(spec, wanted, task=name)
        types = {key: value.type for key, value in inputs.items()}
        present = _present(component, inputs, arguments, task=flat)
        uncertain = {key for key, value in arguments.items() if scope.may_be_absent(value)}
        running = self.executors.read(
            component,
            present=present,
            uncertain=uncertain,
            taken=artifacts,
            remote={key for key, value in artifacts.items() if is_remote(value)},
            task=name,
        )
        waits, behind = _waits(spec, scope, task=name)
        conditions = scope.conditions(spec, arguments, types, task=name)
        waits = waits.and_those(Waits(when=conditions))
        made = _artifacts(component.output_definitions.artifacts)
        task = Task(
            name=flat,
            component=spec.component_ref.name.removeprefix("comp-"),
            title=spec.task_info.name if spec.task_info and spec.task_info.name != name else "",
            image=running.image,
            command=running.command,
            args=running.args,
            inputs=tuple(inputs[key] for key in present),
            arguments=(*arguments.items(), *artifacts.items()),
            outputs=outputs,
            taken=tuple(item for item in _artifacts(wanted) if item.name in artifacts),
            made=made,
            after=tuple(sorted(waits.after)),
            passed=tuple(sorted(waits.passed)),
            behind=tuple(sorted(behind)),
            when=waits.when,
            loops=scope.loops,
            retry=read_retry(spec, task=name),
            timeout_seconds=running.timeout_seconds,
            env=running.env,
            resources=running.resources,
            pod=running.pod,
        )
        names = [*(item.name for item in outputs), *(item.name for item in made)]
        given = {key: TaskOutputRef(flat, key) for key in names}
        return Member((task,), given, waits, scope.loops)

    def _subgroup(
        self, name: str, spec: TaskSpec, component: Component, scope: Scope, depth: int
    ) -> Member:
        if spec.retry_policy is not None and spec.retry_policy.max_retry_count:
            raise unsupported(name, "a retry of a whole group", fix="set it on each of its tasks")
        if spec.trigger_policy.strategy == COMPLETED:
            raise unsupported(
                name,
                "a group that runs however the tasks before it ended",
                fix="use one component as the exit task, or behind ignore_upstream_failure",
            )
        inputs = _parameters(component, task=name)
        types = {key: value.type for key, value in inputs.items()}
        given = scope.arguments(spec, inputs, task=name)
        artifacts = scope.artifacts(spec, component.input_definitions.artifacts, task=name)
        defaults = {
            key: Constant(item.default)
            for key, item in inputs.items()
            if item.default is not None and key not in given
        }
        waits, _ = _waits(spec, scope, task=name)
        loop = read_loop(scope.prefix + name, spec, {**given, **defaults}, scope.loops, task=name)
        inside: dict[str, Value] = {}
        if loop and spec.parameter_iterator:
            self.loops.append(loop)
            inside[spec.parameter_iterator.item_input] = LoopItem(loop.name)
            waits = waits.and_those(Waits(after=frozenset(r.task for r in references(loop.items))))
        inner = replace(
            scope,
            prefix=scope.prefix if CONTROL_FLOW.fullmatch(name) else f"{scope.prefix}{name}-",
            inputs={**given, **defaults, **artifacts, **inside},
            types=types,
            waits=waits.and_those(Waits(when=scope.conditions(spec, given, types, task=name))),
            loops=(*scope.loops, loop.name) if loop else scope.loops,
            members={},
        )
        assert component.dag is not None
        member = self.group(component.dag, inner, depth=depth + 1)
        if loop is None:
            return member
        made = {key: gathered(loop, value, member.tasks) for key, value in member.outputs.items()}
        return replace(member, outputs=made, loops=scope.loops)


def _waits(spec: TaskSpec, scope: Scope, *, task: str) -> tuple[Waits, frozenset[str]]:
    """Tell what an entry waits for, and whose end alone it waits for."""
    if spec.trigger_policy.strategy != COMPLETED:
        return scope.waits_for(spec, task=task), frozenset()
    ending = scope.before(spec, task=task)
    return scope.waits, frozenset(other.name for member in ending for other in member.tasks)


def _one_of(found: list[Value], *, task: str) -> Value:
    if len(found) == 1:
        return found[0]
    if not all(isinstance(value, TaskOutputRef | OneOf) for value in found):
        raise unsupported(
            task.removeprefix(CHANNEL),
            "dsl.OneOf of a list gathered from a loop or of an imported artifact",
            fix="let a task in each branch take it and write it as its own output",
        )
    return OneOf(tuple(choice for value in found for choice in references(value)))


def _needs(spec: TaskSpec) -> set[str]:
    outputs = (given.task_output_parameter for given in spec.inputs.parameters.values())
    artifacts = (given.task_output_artifact for given in spec.inputs.artifacts.values())
    producers = {one.producer_task for one in outputs if one}
    producers |= {one.producer_task for one in artifacts if one}
    return {*spec.dependent_tasks, *producers}


def _artifacts(specs: Mapping[str, ArtifactSpec]) -> tuple[Artifact, ...]:
    return tuple(
        Artifact(name, item.artifact_type.schema_title, item.artifact_type.schema_version)
        for name, item in specs.items()
    )


def _parameters(component: Component, *, task: str) -> dict[str, Parameter]:
    specs = component.input_definitions.parameters
    return {name: parameter(name, spec, task=task) for name, spec in specs.items()}


def _legal(name: str) -> str:
    if NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    raise InputError(
        f"the task name {name!r} is not legal on every target",
        fix=f"use at most {LONGEST_NAME} small letters, digits and dashes",
    )


def _present(
    component: Component,
    inputs: Mapping[str, Parameter],
    arguments: Mapping[str, Value],
    *,
    task: str,
) -> list[str]:
    """Name the inputs that have a value: given, or their default. Only an optional one may lack it.

    Raises:
        InputError: An input that is not optional has no value.
    """
    specs = component.input_definitions.parameters
    absent = {key for key, item in inputs.items() if key not in arguments and item.default is None}
    if missing := [key for key in inputs if key in absent and not specs[key].is_optional]:
        raise InputError(
            f"task {task!r}: the input {missing[0]!r} has neither a value nor a default",
            fix="give it a value in the pipeline or a default in its component",
        )
    return [key for key in inputs if key not in absent]
