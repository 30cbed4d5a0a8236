"""The local engine: submit, status, cancel, over durable runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.compiler.graph import Graph
from coalmine.engines.local.command import HostCommand, check_images, own_command
from coalmine.engines.local.facts import facts_of
from coalmine.engines.local.journal import (
    Clock,
    Journal,
    first_page,
    page_for,
    page_to_json,
    read_page,
    status_of,
)
from coalmine.engines.local.keeper import GRACE_SECONDS, Keeper
from coalmine.engines.local.logs import read_log
from coalmine.engines.local.parameters import parameters_of
from coalmine.engines.local.process import Interrupted, Leash
from coalmine.engines.local.runner import Durably, Run, carry_through
from coalmine.engines.protocol import RunRequest, RunState, RunStatus

if TYPE_CHECKING:
    from coalmine.engines.local.durable import Durable

__all__ = ["GraphReader", "LocalEngine"]

GraphReader = Callable[[Path], Graph]
CLOSE_SECONDS = 15.0


def _now() -> datetime:
    return datetime.now(UTC)


class LocalEngine:
    """Runs pipelines on this machine; one a process.

    Tasks of a run are done one after the other, in the graph's order; only the turns of a loop are
    done side by side, within its limit. What a run needs stands in
    ``<state>/runs/<run id>/``: the pipeline as it was submitted, the journal, and each task's log.

    Args:
        state: The state folder; absolute, since tasks get it as ``COALMINE_STATE``.
        read_graph: Reads a pipeline file.
        host_command: How a container's command runs here.
        environ: The environment of the tasks; this process's unless told.
        clock: The time, UTC.
        grace: Seconds after which a run that no thread carries is resumed.
    """

    name = "local"
    portable = False

    def __init__(
        self,
        state: Path,
        read_graph: GraphReader,
        *,
        host_command: HostCommand = own_command,
        environ: Mapping[str, str] | None = None,
        clock: Clock = _now,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._state = state
        self._read_graph = read_graph
        self._host_command = host_command
        self._environ = {
            **(os.environ if environ is None else environ),
            "COALMINE_STATE": str(state),
        }
        self._clock = clock
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._active: dict[str, Run] = {}
        self._durable: Durable | None = None
        self._grace = grace
        self._keeper: Keeper | None = None

    def open(self) -> None:
        """Resume what had not ended, and be ready for more.

        Raises:
            CoalmineError: The engine's database cannot be used.
        """
        from coalmine.engines.local.durable import DATABASE, Durable  # noqa: PLC0415 - takes a second

        self._state.mkdir(parents=True, exist_ok=True)
        durable = Durable(self._state / DATABASE, self._carry)
        durable.open()
        self._durable = durable
        self._keeper = Keeper(
            durable.begun, self.carried, durable.resume, self._closing, grace=self._grace
        )
        self._keeper.start()

    def close(self) -> None:
        """End the processes that run, and let go; their runs go on at the next start."""
        self._closing.set()
        with self._changed:
            for run in self._active.values():
                run.leash.pull()
            self._changed.wait_for(lambda: not self._active, CLOSE_SECONDS)
        if self._keeper:
            self._keeper.join()
            self._keeper = None
        if self._durable:
            self._durable.close()
            self._durable = None

    def submit(self, request: RunRequest) -> None:
        """Begin a run, durably; see `coalmine.engines.protocol.Engine`."""
        durable = self._opened()
        if durable.look(request.run_id)[0] != "unknown":
            return
        graph = self._read_graph(request.pipeline)
        parameters = parameters_of(graph, request.parameters)
        check_images(graph, self._host_command)
        folder = self._folder(request.run_id)
        try:
            write_atomic(folder / "pipeline.yaml", request.pipeline.read_bytes())
        except OSError as error:
            raise CoalmineError(f"the pipeline cannot be copied: {error}") from error
        Journal(folder / "journal.json", first_page(request.run_id, graph), self._clock).run_is(
            RunState.PENDING
        )
        durable.start(request.run_id, parameters)

    def status(self, run_id: str) -> RunStatus | None:
        """Tell how a run goes; see `coalmine.engines.protocol.Engine`."""
        with self._changed:
            active = self._active.get(run_id)
        if active:
            return active.journal.page.run
        where, result = self._opened().look(run_id)
        if where == "unknown":
            return None
        if where == "ended" and result:
            return status_of(result)
        return self._from_file(run_id, result)

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; see `coalmine.engines.protocol.Engine`."""
        if self._opened().look(run_id)[0] in {"ended", "broken"}:
            return
        try:
            write_atomic(self._folder(run_id) / "cancel", b"")
        except OSError as error:
            raise CoalmineError(f"the run {run_id} cannot be cancelled: {error}") from error
        with self._changed:
            active = self._active.get(run_id)
        if active:
            active.leash.cancel()

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give what a task's tries have written; see `coalmine.engines.protocol.Engine`."""
        folder = self._folder(run_id)
        if not folder.is_dir():
            raise CoalmineError(
                f"there is no log of the run {run_id} in {folder.parent}",
                fix="ask the launcher that ran it, with its own state folder; or it was removed",
            )
        return read_log(folder, task, start)

    def _opened(self) -> Durable:
        if self._durable is None:
            raise CoalmineError("the local engine is not open")
        return self._durable

    def _folder(self, run_id: str) -> Path:
        return self._state / "runs" / run_id

    def _from_file(self, run_id: str, broken: Mapping[str, Any] | None) -> RunStatus:
        page = read_page(self._folder(run_id) / "journal.json")
        tasks = page.run.tasks if page else ()
        if broken:
            return RunStatus(run_id, RunState.FAILED, tasks, str(broken["message"]))
        return page.run if page else RunStatus(run_id, RunState.PENDING)

    def _carry(
        self, run_id: str, parameters: Mapping[str, str], durably: Durably
    ) -> dict[str, Any]:
        run = self._prepare(run_id, parameters)
        with self._changed:
            if run_id in self._active:
                raise Interrupted  # one life at a time
            self._active[run_id] = run
        try:
            if (run.folder / "cancel").exists():
                run.leash.cancel()
            carry_through(run, durably)
            return page_to_json(run.journal.page)
        finally:
            with self._changed:
                del self._active[run_id]
                self._changed.notify_all()

    def carried(self) -> set[str]:
        """List the runs that a thread carries now."""
        with self._changed:
            return set(self._active)

    def _prepare(self, run_id: str, parameters: Mapping[str, str]) -> Run:
        folder = self._folder(run_id)
        graph = self._read_graph(folder / "pipeline.yaml")
        path = folder / "journal.json"
        return Run(
            folder=folder,
            graph=graph,
            parameters={**parameters, **facts_of(run_id)},
            journal=Journal(path, page_for(path, run_id, graph), self._clock),
            leash=Leash(self._closing),
            host_command=self._host_command,
            environ=self._environ,
        )
