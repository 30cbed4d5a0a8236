"""Turns of loops side by side: which may start is a pure decision, threads do the rest.

What is under way is told by what has been decided and recorded alone, so a second life of a run
comes to the same; the threads are started only where a result is not on record yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Task, Turn
from coalmine.engines.local.ended import Ended
from coalmine.engines.protocol import TaskState

__all__ = ["AT_ONCE", "Abreast", "may_start"]

AT_ONCE = 8
"""As many tasks at most run at once, whatever a loop's limit says."""


def may_start(
    graph: Graph, ready: Sequence[str], ended: Mapping[str, Ended], under_way: Collection[str]
) -> list[str]:
    """Name the tasks that start now: turns of loops within their limits, else one alone.

    Args:
        graph: The pipeline, with the loops undone whose turns are known.
        ready: Tasks that could start or have, in the graph's order.
        ended: The tasks that have ended.
        under_way: Tasks that have started and not ended.
    """
    tasks = {task.name: task for task in graph.tasks}
    running = list(under_way)
    found: list[str] = []
    for name in ready:
        task = tasks[name]
        alone = running and not all(tasks[one].turns for one in [name, *running])
        if name in running or alone or len(running) >= AT_ONCE:
            continue
        if all(_has_room(turn, graph, ended, running) for turn in task.turns):
            running.append(name)
            found.append(name)
    return found


def _has_room(
    turn: Turn, graph: Graph, ended: Mapping[str, Ended], running: Collection[str]
) -> bool:
    """Tell whether a turn goes on already, or may begin beside those of its loop that do."""
    if turn.limit is None:
        return True
    begun: set[int] = set()
    left: set[int] = set()
    for task in graph.tasks:
        for one in task.turns:
            if one.loop == turn.loop:
                if task.name not in ended:
                    left.add(one.at)
                if _has_run(task, ended, running):
                    begun.add(one.at)
    under_way = begun & left
    return turn.at in under_way or len(under_way) < turn.limit


def _has_run(task: Task, ended: Mapping[str, Ended], running: Collection[str]) -> bool:
    if task.name in running:
        return True
    return task.name in ended and ended[task.name].state is not TaskState.SKIPPED


class Abreast:
    """Runs pieces of work in threads, and tells which has ended first."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="coalmine-task")
        self._works: dict[str, Future[Ended]] = {}

    def first(self, works: Mapping[str, Callable[[], Ended]]) -> Ended:
        """Start what has not started, and wait until one has ended.

        Args:
            works: All that is under way, by name.

        Returns:
            How the first of them ended, with its name.
        """
        for name, work in works.items():
            if name not in self._works:
                self._works[name] = self._threads.submit(work)
        wait(self._works.values(), return_when=FIRST_COMPLETED)
        name = next(name for name, future in self._works.items() if future.done())
        return replace(self._works.pop(name).result(), task=name)

    def close(self) -> None:
        """Wait until nothing is under way any more."""
        self._threads.shutdown()
