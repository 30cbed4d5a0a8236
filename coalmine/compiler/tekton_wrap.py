"""What Tekton has for KFP's executor protocol: artifacts in a workspace, facts as parameters.

The files of all artifacts lie side by side in the workspace, each under the names of its run, task
and output, its description beside it. A step knows the run's name by a parameter: within a
``taskSpec`` Tekton does not fill in ``context.pipelineRun``.
"""

from __future__ import annotations

from collections.abc import Mapping

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.manifest import Place
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.pod import pod_text
from coalmine.compiler.task import Task
from coalmine.compiler.tekton_names import TARGET
from coalmine.compiler.tekton_text import VARIABLE, plain
from coalmine.compiler.tekton_when import reference
from coalmine.compiler.value import (
    Constant,
    Imported,
    Joined,
    Listed,
    RunFact,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.wrap import Wrapping, about_imported, facts_in

__all__ = [
    "WORKSPACE",
    "added_params",
    "fact_text",
    "has_workspace",
    "made_path",
    "taken_path",
    "uses_workspace",
    "value_text",
    "wrapping",
]

WORKSPACE = "artifacts"
RESULT_BYTES = 4000
"""What the termination message of a step can hold is 4096 bytes, Tekton's own words included."""
FACTS = {
    RunFact.JOB_NAME: "$(context.pipelineRun.name)",
    RunFact.JOB_RESOURCE_NAME: "$(context.pipelineRun.name)",
    RunFact.JOB_ID: "$(context.pipelineRun.uid)",
}


def value_text(value: Value, where: Place) -> str:
    """Write a value as a parameter of a task gets it.

    Raises:
        InputError: Tekton cannot say it.
    """
    match value:
        case Constant(text):
            return pod_text(plain(text, where))
        case RunFact():
            return _fact(value, where)
        case Joined(parts):
            # A value may end in a dollar sign; with the text behind it that must make no variable.
            plain("".join(one.value if isinstance(one, Constant) else "$" for one in parts), where)
            return "".join(value_text(part, where) for part in parts)
        case Imported():
            return value_text(value.uri, where)
        case Listed():
            return _listed(value, where)
        case _:
            return reference(value)


def _listed(value: Listed, where: Place) -> str:
    """Write a list of values: their texts are pasted into it, so they have to be JSON already."""
    if value.type in {ParameterType.STRING, ParameterType.BOOLEAN}:
        raise InputError(
            f"{where}: it gathers texts, and Tekton would paste them into a list without quoting",
            fix="let the tasks of the loop write numbers, lists or dicts; or use argo or kfp",
        )
    return f"[{','.join(value_text(item, where) for item in value.values)}]"


def added_params(task: Task) -> dict[str, str]:
    """Give the parameters that a task needs beside its inputs, with their values."""
    where = Place(task.name, "command line", TARGET)
    facts = sorted(facts_in(task) - {RunFact.TASK_ID})
    if uses_workspace(task) and RunFact.JOB_NAME not in facts:
        facts.append(RunFact.JOB_NAME)
    found = {_fact_name(fact): _fact(fact, where) for fact in facts}
    for name, value in task.arguments:
        if isinstance(value, Imported):
            place = Place(task.name, f"argument {name!r}", TARGET)
            found[_uri_name(name)] = value_text(value, place)
    return found


def taken_path(name: str, task: Task) -> str:
    """Give the path of an input artifact, within a step."""
    value = dict(task.arguments)[name]
    if isinstance(value, TaskOutputRef):
        return _path(value.task, value.output)
    return f"$(params.{_uri_name(name)})"


def made_path(name: str, task: Task) -> str:
    """Give the path of an output artifact, within a step."""
    return _path(task.name, name)


def wrapping(task: Task, optional: frozenset[str]) -> Wrapping:
    """Say what a component with an executor input gets from where."""
    given = dict(task.arguments)
    made = {item.name: made_path(item.name, task) for item in task.made}
    return Wrapping(
        inputs={item.name: f"$(params.{item.name})" for item in task.inputs},
        results={item.name: f"$(results.{item.name}.path)" for item in task.outputs},
        taken={item.name: taken_path(item.name, task) for item in task.taken},
        about={item.name: _about(item.name, given, task) for item in task.taken},
        made=made,
        keep={name: f"{path}.json" for name, path in made.items()},
        facts={fact: fact_text(fact) for fact in sorted(facts_in(task))},
        optional=optional,
        is_safe=lambda text: VARIABLE.search(text) is None,
        limit=RESULT_BYTES,
    )


def _about(name: str, given: Mapping[str, Value], task: Task) -> str:
    value = given[name]
    if isinstance(value, Imported):
        return about_imported(value)
    return f"{taken_path(name, task)}.json"


def uses_workspace(task: Task) -> bool:
    """Tell whether a task reads or writes artifacts that are files here."""
    values = dict(task.arguments)
    taken = any(isinstance(values[item.name], TaskOutputRef) for item in task.taken)
    return taken or bool(task.made)


def has_workspace(graph: Graph) -> bool:
    """Tell whether any task of a pipeline does, the exit task included."""
    ending = [graph.exit_task] if graph.exit_task else []
    return any(uses_workspace(task) for task in (*graph.tasks, *ending))


def _path(task: str, output: str) -> str:
    run = f"$(params.{_fact_name(RunFact.JOB_NAME)})"
    return f"$(workspaces.{WORKSPACE}.path)/{run}.{task}.{output}"


def _fact(fact: RunFact, where: Place) -> str:
    if fact not in FACTS:
        raise InputError(
            f"{where}: {fact.value} is known only within the task",
            fix="ask for it in the component's own command, or compile for kfp",
        )
    return FACTS[fact]


def fact_text(fact: RunFact) -> str:
    """Write what the run knows of itself, within a step."""
    if fact is RunFact.TASK_ID:
        return "$(context.taskRun.name)"
    return f"$(params.{_fact_name(fact)})"


def _fact_name(fact: RunFact) -> str:
    # No parameter of a component holds a dash.
    return f"run-{fact.value}"


def _uri_name(name: str) -> str:
    return f"{name}-uri"
