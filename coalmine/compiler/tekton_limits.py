"""What Tekton cannot do: undone where it can be, refused where it cannot."""

from __future__ import annotations

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.loops import expand_constants
from coalmine.compiler.manifest import Place
from coalmine.compiler.tekton_names import TARGET
from coalmine.compiler.value import FinalStatus, references

__all__ = ["check_ends", "without_loops"]

LONGEST_NAME = 63


def without_loops(graph: Graph) -> Graph:
    """Undo the loops over known lists.

    Raises:
        InputError: A loop goes over a list known only in a run, no task is left, or one's name is
            too long with its turn.
    """
    graph = expand_constants(graph)
    for loop in graph.loops:
        # Tekton's matrix goes over parameters and results of type array only. Those of a pipeline
        # are strings that hold JSON, on every engine, for whoever submits it.
        raise InputError(
            f"{Place(loop.name, 'items', TARGET)}: the list of this loop is known only in a run, "
            "where it is a string of JSON, and Tekton's matrix makes tasks of arrays only",
            fix="loop over a list in the pipeline's source, let one task do the work for all "
            "items, or compile for argo or kfp",
        )
    if not graph.tasks:
        raise InputError(
            f"{Place('', 'tasks', TARGET)}: its loops go over no items, so no task is left",
            fix="give the loops items, or compile for argo or kfp",
        )
    for task in graph.tasks:
        if len(task.name) > LONGEST_NAME:
            raise InputError(
                f"{Place(task.name, 'name', TARGET)}: with its turn the name is too long",
                fix=f"keep the names of components and turns within {LONGEST_NAME} characters",
            )
    return graph


def check_ends(graph: Graph) -> None:
    """See that what runs behind a failure is waited for by nobody, and takes nothing from it."""
    for task in (*graph.tasks, *([graph.exit_task] if graph.exit_task else [])):
        if any(isinstance(value, FinalStatus) for _, value in task.arguments):
            raise InputError(
                f"{Place(task.name, 'dsl.PipelineTaskFinalStatus', TARGET)}: Tekton tells the "
                "state of all tasks in words of its own, and nothing of a part",
                fix="do without it, or compile for argo or kfp",
            )
    last = {task.name for task in graph.tasks if task.behind}
    for task in graph.tasks:
        used = {found.task for value in task.values() for found in references(value)}
        problem = ""
        if unsure := sorted(used & set(task.behind)):
            problem = f"it takes a value of {unsure[0]}, which may have failed"
        elif waited := sorted(task.follows() & last):
            problem = f"it waits for {waited[0]}, which runs although a task before it failed"
        if problem:
            raise InputError(
                f"{Place(task.name, 'ignore_upstream_failure', TARGET)}: {problem}; Tekton starts "
                "nothing behind a failed task but the tasks at the very end",
                fix="leave it without consequences, or compile for argo or kfp",
            )
