"""Carry one run through: decide, run a task durably, note it, until the exit task has ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial

from coalmine.compiler.graph import Graph
from coalmine.engines.local.abreast import Abreast, may_start
from coalmine.engines.local.arguments import outputs_of
from coalmine.engines.local.ended import Ended, run_state
from coalmine.engines.local.plan import next_move, unrolled
from coalmine.engines.local.trying import CANCELLED, Run, run_task
from coalmine.engines.protocol import RunState, TaskState

__all__ = ["Durably", "Run", "carry_through"]

logger = logging.getLogger(__name__)

Durably = Callable[[str, Callable[[], Ended]], Ended]
"""Runs a named piece of work once; after a crash gives what it gave, or runs it again."""


def carry_through(run: Run, durably: Durably) -> None:
    """Run every task that shall run, turns of loops side by side, and then the exit task.

    Which tasks run depends on nothing but results that were recorded, so a second life of the run
    takes the same way. That is why a cancelled run still goes through here: each task finds out
    for itself, and its finding is recorded.

    Raises:
        Interrupted: This life of the run ends.
    """
    run.journal.run_is(RunState.RUNNING)
    ended: dict[str, Ended] = {}
    broke, outputs = "", {}
    try:
        graph = _carry_tasks(run, durably, ended)
        outputs = outputs_of(graph, run.parameters, ended)
    except Exception as error:  # the exit task must run, whatever happened
        logger.exception("the run broke")
        broke = f"the run broke: {error or type(error).__name__}"
    if run.graph.exit_task:
        task = run.graph.exit_task
        with run.leash.shelter():
            ended[task.name] = durably(task.name, lambda: run_task(run, task, dict(ended)))
        _note(run, task.name, ended[task.name])
    state = RunState.FAILED if broke else run_state(ended.values())
    run.journal.run_is(state, broke or _why(state, ended), outputs)


def _carry_tasks(run: Run, durably: Durably, ended: dict[str, Ended]) -> Graph:
    """Run every task that shall run; fills ``ended`` as it goes on.

    Returns:
        The graph with its loops undone, but for those that were never reached.
    """
    graph = _undo_loops(run, run.graph, ended)
    under_way: dict[str, Callable[[], Ended]] = {}
    with contextlib.closing(Abreast()) as abreast:
        while (move := next_move(graph, run.parameters, ended)) and (move.ready or move.skipped):
            for name, reason in move.skipped.items():
                ended[name] = Ended(TaskState.SKIPPED, message=reason)
                _note(run, name, ended[name])
            tasks = {task.name: task for task in graph.tasks}
            for name in may_start(graph, move.ready, ended, under_way):
                under_way[name] = partial(run_task, run, tasks[name], dict(ended))
            if under_way:
                first, *others = under_way
                named = f"{first} or another" if others else first
                end = durably(named, partial(abreast.first, dict(under_way)))
                ended[end.task] = end
                del under_way[end.task]
                _note(run, end.task, end)
            graph = _undo_loops(run, graph, ended)
    return graph


def _undo_loops(run: Run, graph: Graph, ended: Mapping[str, Ended]) -> Graph:
    """Undo the loops whose lists are known by now, and note the tasks that this makes."""
    found = unrolled(graph, run.parameters, ended)
    if found is not graph:
        exit_task = [run.graph.exit_task.name] if run.graph.exit_task else []
        run.journal.tasks_are([*(task.name for task in found.tasks), *exit_task])
    return found


def _note(run: Run, name: str, ended: Ended) -> None:
    if not run.journal.task(name).state.ended:
        run.journal.end(name, ended)


def _why(state: RunState, ended: Mapping[str, Ended]) -> str:
    failed = next(
        (f"{name}: {one.message}" for name, one in ended.items() if one.state == "failed"), ""
    )
    if state is RunState.CANCELLED:
        return f"{CANCELLED}; {failed}" if failed else CANCELLED
    return failed
