"""The order of tasks: who waits for whom, without a word about what they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Condition
from coalmine.compiler.task import Task

__all__ = ["ancestors", "inherited_conditions", "sort_names", "sort_tasks", "waits_for"]


def sort_names(dependencies: Mapping[str, Iterable[str]]) -> list[str]:
    """Order names so that each stands behind what it depends on; ties go by name.

    Raises:
        InputError: They wait for each other in a circle.
    """
    sorter = TopologicalSorter({name: set(needed) for name, needed in dependencies.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise InputError(
            f"tasks wait for each other in a circle: {circle}", fix="remove one of the dependencies"
        ) from None
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    return ordered


def sort_tasks(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """Order tasks, and drop from each ``after`` what follows from its other dependencies."""
    by_name = {task.name: task for task in tasks}
    above: dict[str, frozenset[str]] = {}
    for name in sort_names({name: task.follows() for name, task in by_name.items()}):
        needed = by_name[name].depends_on()
        above[name] = needed.union(*(above[other] for other in needed))
    return tuple(_reduced(by_name[name], above) for name in above)


def ancestors(tasks: Iterable[Task]) -> dict[str, frozenset[str]]:
    """Name, for each task, every task that has to succeed before it, near and far.

    Args:
        tasks: In an order in which each stands behind what it waits for.
    """
    above: dict[str, frozenset[str]] = {}
    for task in tasks:
        direct = task.depends_on()
        above[task.name] = direct.union(*(above[name] for name in direct))
    return above


def waits_for(task: Task, above: Mapping[str, frozenset[str]]) -> list[str]:
    """Name the fewest tasks whose success means that everything the task needs has succeeded."""
    direct = task.depends_on()
    return sorted(name for name in direct if not any(name in above[other] for other in direct))


def inherited_conditions(tasks: Iterable[Task]) -> dict[str, tuple[Condition, ...]]:
    """Collect, for each task, its own conditions and those of all it waits for.

    With these a task is skipped whenever something it waits for was skipped, on engines that only
    look at a task's own conditions.

    Args:
        tasks: In an order in which each stands behind what it waits for.
    """
    found: dict[str, tuple[Condition, ...]] = {}
    for task in tasks:
        conditions = [item for name in sorted(task.depends_on()) for item in found[name]]
        found[task.name] = tuple(dict.fromkeys([*conditions, *task.when]))
    return found


def _reduced(task: Task, above: Mapping[str, frozenset[str]]) -> Task:
    used = replace(task, after=()).depends_on()
    needed = task.depends_on()
    after = tuple(
        name
        for name in sorted(set(task.after) - used)
        if not any(name in above[other] for other in needed)
    )
    passed = tuple(sorted(set(task.passed) - above[task.name]))
    return replace(task, after=after, passed=passed)
