"""Pages that tasks write for the interface of Kubeflow Pipelines, on engines without one.

A page, HTML or Markdown, that nothing takes and that the pipeline does not give out is for people
at that interface alone. To carry it away, Tekton would need a volume and Argo an artifact
repository, so there it stays in its container. A pipeline that gives the page out says that it is
wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from coalmine.compiler.graph import Graph
from coalmine.compiler.piece import ArtifactPath, Part, Piece
from coalmine.compiler.task import Task
from coalmine.compiler.value import references

__all__ = ["left_pages", "note_pages", "without_pages"]

PAGES = frozenset({"system.HTML", "system.Markdown"})
FOLDER = "/tmp/coalmine-page"  # noqa: S108 - in a pod of its own


def left_pages(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Name the pages that nobody takes, by task and output.

    A component with an executor input is told of all its artifacts, so those of one stay.
    """
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    values = [value for task in tasks for _, value in task.arguments]
    values += [value for _, value in graph.outputs]
    wanted = {(one.task, one.output) for value in values for one in references(value)}
    return tuple(
        (task.name, item.name)
        for task in tasks
        for item in task.made
        if item.type in PAGES
        and not task.takes_executor_input
        and (task.name, item.name) not in wanted
    )


def without_pages(graph: Graph) -> Graph:
    """Let such pages be written to a file in their container, and be no artifacts."""
    left = set(left_pages(graph))
    return replace(
        graph,
        tasks=tuple(_task(task, left) for task in graph.tasks),
        exit_task=_task(graph.exit_task, left) if graph.exit_task else None,
    )


def note_pages(graph: Graph) -> tuple[str, ...]:
    """Say which pages are left, if any are."""
    left = ", ".join(f"{output} of {task}" for task, output in left_pages(graph))
    told = f"Pages that only Kubeflow Pipelines shows stay in their containers here: {left}."
    return (f"{told} A pipeline that gives one out keeps it.",) if left else ()


def _task(task: Task, left: Iterable[tuple[str, str]]) -> Task:
    names = {output for name, output in left if name == task.name}
    if not names:
        return task
    return replace(
        task,
        made=tuple(item for item in task.made if item.name not in names),
        command=tuple(_piece(piece, names) for piece in task.command),
        args=tuple(_piece(piece, names) for piece in task.args),
    )


def _piece(piece: Piece, names: set[str]) -> Piece:
    return tuple(_part(part, names) for part in piece)


def _part(part: Part, names: set[str]) -> Part:
    if isinstance(part, ArtifactPath) and part.made and part.name in names:
        return f"{FOLDER}-{part.name}"
    return part
