"""Try one task until it is settled: what a try needs, what came of it, and when to try again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Retry, Task
from coalmine.engines.local.arguments import arguments_of
from coalmine.engines.local.command import HostCommand
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.journal import Journal
from coalmine.engines.local.lastwords import last_words
from coalmine.engines.local.logs import log_path
from coalmine.engines.local.process import (
    Exit,
    Interrupted,
    Leash,
    PulledError,
    hold_lock,
    run_process,
)
from coalmine.engines.local.work import Work, collect, prepare
from coalmine.engines.protocol import TaskState

__all__ = ["CANCELLED", "Run", "backoff", "run_task"]

logger = logging.getLogger(__name__)

EXIT_INPUT_ERROR = 2
CANCELLED = "the run was cancelled"


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
