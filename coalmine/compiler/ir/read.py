"""From a file to the graph."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir.containers import Executors
from coalmine.compiler.ir.document import load_documents, read_text
from coalmine.compiler.ir.flatten import COMPLETED, Flattener
from coalmine.compiler.ir.lines import find_line
from coalmine.compiler.ir.models import Dag, Pipeline, Platform
from coalmine.compiler.ir.refuse import PlacedError, check, unsupported
from coalmine.compiler.ir.scope import Scope
from coalmine.compiler.ir.values import parameter
from coalmine.compiler.ir.waits import Member
from coalmine.compiler.order import sort_tasks
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import NAME, Task
from coalmine.compiler.value import ParameterRef

__all__ = ["read_graph", "read_graph_text"]

SCHEMA = "2.1.0"
EXIT_HANDLER = re.compile(r"exit-handler-\d+")


def read_graph(path: Path) -> Graph:
    """Read a compiled pipeline from a file.

    Args:
        path: KFP IR as YAML, with or without the second document of kfp-kubernetes.

    Returns:
        The flat graph.

    Raises:
        InputError: The file cannot be read, is no compiled pipeline, or asks for something that
            this version of Coalmine cannot run; names the file and the place.
    """
    return read_graph_text(read_text(path), source=str(path))


def read_graph_text(text: str, *, source: str = "pipeline") -> Graph:
    """Read a compiled pipeline from a text; see ``read_graph``.

    Args:
        text: KFP IR as YAML.
        source: What to call it in errors.
    """
    try:
        return _read(load_documents(text))
    except InputError as error:
        line = find_line(text, error.place) if isinstance(error, PlacedError) else None
        where = f"{source}, line {line}" if line else source
        raise InputError(error.message, field=where, fix=error.fix) from None


def _read(documents: list[dict[str, Any]]) -> Graph:
    first, *others = documents
    _check_schema(first)
    pipeline = check(Pipeline, first, place="")
    if len(others) > 1:
        raise InputError("holds more than two documents", fix="give one compiled pipeline a file")
    platform = check(Platform, others[0], place="").platforms.kubernetes if others else None
    executors = Executors(
        executors=pipeline.deployment_spec.executors,
        platforms=platform.deployment_spec.executors if platform else {},
    )
    _check_labels(executors)
    parameters = tuple(
        parameter(name, spec, task="")
        for name, spec in pipeline.root.input_definitions.parameters.items()
    )
    flattener = Flattener(pipeline.components, executors)
    group, exit_task = _tasks(pipeline, flattener, parameters)
    tasks = group.tasks
    _check_names(pipeline.pipeline_info.name, (*tasks, *([exit_task] if exit_task else [])))
    return Graph(
        name=pipeline.pipeline_info.name,
        description=pipeline.pipeline_info.description,
        parameters=parameters,
        tasks=sort_tasks(tasks),
        exit_task=exit_task,
        outputs=tuple(group.outputs.items()),
        loops=tuple(flattener.loops),
    )


def _tasks(
    pipeline: Pipeline, flattener: Flattener, parameters: tuple[Parameter, ...]
) -> tuple[Member, Task | None]:
    dag = pipeline.root.dag
    if dag is None or not dag.tasks:
        raise InputError("the pipeline has no tasks", fix="compile a pipeline with tasks in it")
    scope = Scope(
        prefix="",
        inputs={item.name: ParameterRef(item.name) for item in parameters},
        types={item.name: item.type for item in parameters},
        optional=frozenset(item.name for item in parameters if item.optional),
    )
    name = _exit_name(dag)
    if name is None:
        return flattener.group(dag, scope), None
    handled = dag.model_copy(
        update={"tasks": {key: spec for key, spec in dag.tasks.items() if key != name}}
    )
    group = flattener.group(handled, scope)
    return group, _exit_task(flattener, dag, name, scope)


def _exit_name(dag: Dag) -> str | None:
    """Find the task at the end of the whole pipeline: alone beside the one group that it ends."""
    names = [key for key, spec in dag.tasks.items() if spec.trigger_policy.strategy == COMPLETED]
    others = [key for key in dag.tasks if key not in names]
    if len(names) != 1 or len(others) != 1 or not EXIT_HANDLER.fullmatch(others[0]):
        return None
    return names[0] if dag.tasks[names[0]].dependent_tasks == others else None


def _exit_task(flattener: Flattener, dag: Dag, name: str, scope: Scope) -> Task:
    spec = dag.tasks[name]
    plain = spec.model_copy(
        update={
            "dependent_tasks": [],
            "trigger_policy": spec.trigger_policy.model_copy(update={"strategy": ""}),
        }
    )
    if plain.trigger_policy.condition:
        raise unsupported(name, "a condition on the exit task")
    alone = Scope(prefix="", inputs=scope.inputs, types=scope.types, optional=scope.optional)
    tasks = flattener.entry(name, plain, alone).tasks
    if flattener.component(spec, task=name).dag is not None:
        raise unsupported(name, "a group as an exit task", fix="use one container component")
    return tasks[0]


def _check_schema(document: dict[str, Any]) -> None:
    version = document.get("schemaVersion")
    if version is None:
        raise InputError(
            "holds no compiled pipeline: schemaVersion is missing",
            fix="give a file that the KFP 2 compiler has written, or a .py file",
        )
    if version != SCHEMA:
        raise InputError(
            f"schemaVersion is {version!r}; this version of Coalmine reads {SCHEMA}",
            fix="compile the pipeline with kfp 2.17",
        )


def _check_labels(executors: Executors) -> None:
    if unknown := sorted(set(executors.platforms) - set(executors.executors)):
        raise InputError(
            f"the platform document speaks of the executor {unknown[0]!r}, which does not exist",
            fix="compile the pipeline again",
        )


def _check_names(name: str, tasks: tuple[Task, ...]) -> None:
    if not NAME.fullmatch(name):
        raise InputError(
            f"pipelineInfo.name: the pipeline name {name!r} is not legal on every target",
            fix="use small letters, digits and dashes",
        )
    if not tasks:
        raise InputError("the pipeline has no tasks", fix="compile a pipeline with tasks in it")
    counted = Counter(task.name for task in tasks)
    if twice := sorted(key for key, count in counted.items() if count > 1):
        raise InputError(
            f"two tasks come to the same name {twice[0]!r} once groups are flattened",
            fix="rename the component of one of them",
        )
