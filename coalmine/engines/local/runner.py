"""Carry one run through: decide, run a task durably, note it, until the exit task has ended."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Retry, Task
from coalmine.engines.local.abreast import Abreast, may_start
from coalmine.engines.local.arguments import arguments_of, outputs_of
from coalmine.engines.local.command import HostCommand
from coalmine.engines.local.ended import Ended, run_state
from coalmine.engines.local.journal import Journal
from coalmine.engines.local.logs import log_path
from coalmine.engines.local.plan import next_move, unrolled
from coalmine.engines.local.process import (
    Exit,
    Interrupted,
    Leash,
    PulledError,
    hold_lock,
    run_process,
)
from coalmine.engines.local.work import Work, collect, prepare
from coalmine.engines.protocol import RunState, TaskState

__all__ = ["Durably", "Run", "backoff", "carry_through", "last_words"]

logger = logging.getLogger(__name__)

EXIT_INPUT_ERROR = 2
TAIL_BYTES = 65536
LINE_LIMIT = 300
CANCELLED = "the run was cancelled"

Durably = Callable[[str, Callable[[], Ended]], Ended]
"""Runs a named piece of work once; after a crash gives what it gave, or runs it again."""


@dataclass(frozen=True, slots=True)
class Run:
    """All that one run needs.

    Attributes:
        folder: Its own folder.
        graph: The pipeline.
        parameters: Every parameter's value.
        journal: Where it is noted.
        leash: How it is ended early.
        host_command: How a container's command runs here.
        environ: The environment of its tasks.
    """

    folder: Path
    graph: Graph
    parameters: Mapping[str, str]
    journal: Journal
    leash: Leash
    host_command: HostCommand
    environ: Mapping[str, str]


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


def run_task(run: Run, task: Task, ended: Mapping[str, Ended]) -> Ended:
    """Try a task until it is done, fails for good, or is cancelled.

    What the journal says has ended already is not run again. An error that nobody foresaw fails
    the task: it is recorded like any other result, so that the run goes on to its exit task.
    """
    known = run.journal.task(task.name)
    if known.state.ended:
        return Ended(known.state, known.outputs, known.message)
    try:
        result = _try_until_settled(run, task, ended)
    except Exception as error:
        logger.exception("%s broke", task.name)
        result = Ended(TaskState.FAILED, message=f"it broke: {error or type(error).__name__}")
    run.journal.end(task.name, result)
    return result


def _try_until_settled(run: Run, task: Task, ended: Mapping[str, Ended]) -> Ended:
    while True:
        if run.leash.pulled:
            return _pulled(run)
        attempt = run.journal.begin_try(task.name)
        result, final = _try_once(run, task, ended, attempt)
        if result.state is not TaskState.FAILED or final:
            return result
        failures = run.journal.fail_try(task.name)
        if task.retry is None or failures > task.retry.max_retries:
            return result
        logger.warning("%s failed and is tried again: %s", task.name, result.message)
        run.leash.sleep(backoff(task.retry, failures))


def backoff(retry: Retry, failures: int) -> float:
    """Give the seconds to wait before the next try, after so many have failed (from 1 on)."""
    wait = retry.backoff_seconds * retry.backoff_factor ** (failures - 1)
    return min(wait, retry.backoff_max_seconds or wait)


def _try_once(run: Run, task: Task, ended: Mapping[str, Ended], attempt: int) -> tuple[Ended, bool]:
    """Try a task once; the second value tells that trying again cannot help."""
    folder = run.folder / task.name / str(attempt)
    log = log_path(run.folder, task.name, attempt)
    try:
        arguments = arguments_of(task, run.parameters, ended)
        work = prepare(task, arguments, folder, run.parameters)
        argv = run.host_command(task.image, work.argv)
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder.parent / "lock", run.leash) as lock:
            end = run_process(
                argv,
                environ={**run.environ, **dict(task.env)},
                log=log,
                lock=lock,
                leash=run.leash,
                timeout=task.timeout_seconds,
            )
    except PulledError:
        return _pulled(run), True
    except CoalmineError as error:
        return Ended(TaskState.FAILED, message=str(error)), error.exit_code == EXIT_INPUT_ERROR
    except (OSError, ValueError) as error:
        return Ended(TaskState.FAILED, message=f"it could not be started: {error}"), False
    return _judge(run, task, end, work, log)


def _judge(run: Run, task: Task, end: Exit | None, work: Work, log: Path) -> tuple[Ended, bool]:
    if end is None or (end.code != 0 and run.leash.pulled):
        return _pulled(run), True
    if end.timed_out:
        message = f"it took longer than {task.timeout_seconds} s and was ended"
        return Ended(TaskState.FAILED, message=message), False
    if end.code != 0:
        message = last_words(log) or _exit_message(end.code, log)
        return Ended(TaskState.FAILED, message=message), end.code == EXIT_INPUT_ERROR
    try:
        return Ended(TaskState.SUCCEEDED, collect(task, work)), False
    except InputError as error:
        return Ended(TaskState.FAILED, message=error.message), False


def _pulled(run: Run) -> Ended:
    if run.leash.closing.is_set():
        raise Interrupted
    return Ended(TaskState.CANCELLED, message=CANCELLED)


def _exit_message(code: int, log: Path) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    return f"it {how} and said nothing; its log is {log}"


def last_words(log: Path) -> str:
    """Find what a failed task said last: the message of its final line, else that line itself.

    Empty if the log cannot be read.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        logger.warning("%s cannot be read: %s", log, error)
        return ""
    for line in reversed(lines):
        if (said := _final_message(line)) is not None:
            return said
    return next((line.strip()[:LINE_LIMIT] for line in reversed(lines) if line.strip()), "")


def _final_message(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("final") is not True:
        return None
    message, fix = str(entry.get("message", "")), str(entry.get("fix") or "")
    return f"{message} (fix: {fix})" if fix else message
