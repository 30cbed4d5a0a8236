"""The graph as text: a line a task, in the order in which they run."""

from __future__ import annotations

from coalmine.compiler.graph import Graph
from coalmine.compiler.order import ancestors, waits_for
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import Task
from coalmine.compiler.views.edges import say

__all__ = ["to_text"]


def to_text(graph: Graph) -> str:
    """Write the graph as text, with a final newline."""
    above = ancestors(graph.tasks)
    names = [task.name for task in graph.tasks]
    names += [graph.exit_task.name] if graph.exit_task else []
    width = max(len(name) for name in names)
    lines = [f"pipeline {graph.name}"]
    lines += [f"  parameter {_parameter(item)}" for item in graph.parameters]
    lines += [_line(task, waits_for(task, above), width) for task in graph.tasks]
    if graph.exit_task:
        lines.append(f"  {graph.exit_task.name:{width}}  at the end, however it came")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _parameter(item: Parameter) -> str:
    default = "" if item.default is None else f" = {item.default!r}"
    return f"{item.name}: {item.type.value}{default}"


def _line(task: Task, before: list[str], width: int) -> str:
    parts = [f"after {', '.join(before)}"] if before else []
    forgiven = sorted(task.follows() - task.depends_on() - set(task.behind))
    parts += [f"after {', '.join(forgiven)} unless failed"] if forgiven else []
    parts += [f"once {', '.join(task.behind)} ended, however"] if task.behind else []
    parts += [f"if {' and '.join(say(item) for item in task.when)}"] if task.when else []
    parts += [f"for each item of {task.loops[-1]}"] if task.loops else []
    return f"  {task.name:{width}}  {', '.join(parts)}"
