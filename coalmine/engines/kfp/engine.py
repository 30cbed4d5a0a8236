"""The engine of Kubeflow Pipelines: a version for each pipeline's digest, a run for each release.

Nothing is kept here that the API does not know: what a run is of, and with which values, is read
back from it, so that any launcher can follow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.engines.callback import Callback
from coalmine.engines.ending import exit_run_of, unclean, with_exit
from coalmine.engines.kfp.api import NOT_FOUND, KfpApi, KfpError
from coalmine.engines.kfp.logs import MOST, Pace, read_task_log
from coalmine.engines.kfp.package import exit_only
from coalmine.engines.kfp.status import read_run
from coalmine.engines.kfp.typed import typed
from coalmine.engines.kfp.versions import Version, Versions
from coalmine.engines.protocol import RunRequest, RunState, RunStatus, TaskState
from coalmine.engines.values import check_for, check_known

__all__ = ["KfpEngine", "name_of"]

Object = dict[str, Any]
POLL_SECONDS = 3.0
"""The API has no watch; a run is asked for at most so often."""
REFUSED = {400, 413, 422}
ENDED = {"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"}


def name_of(run_id: str) -> str:
    """Name a run. Names are not unique there: the oldest run of a name is the one that counts."""
    return f"coalmine-{run_id}"


class KfpEngine:
    """Runs pipelines on Kubeflow Pipelines.

    Args:
        api: The installation.
        read_graph: Reads a pipeline file.
        experiment: What runs belong to.
        account: The service account of the tasks; empty for the installation's own.
        callback: How tasks reach the launcher.
        poll: Seconds for which what was told of a run is told again.
        monotonic: Seconds that only grow.
    """

    name = "kfp"
    portable = True

    def __init__(
        self,
        api: KfpApi,
        read_graph: Callable[[Path], Graph],
        *,
        experiment: str = "coalmine",
        account: str = "",
        callback: Callback | None = None,
        poll: float = POLL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._versions = Versions(api, read_graph, callback or Callback())
        self._experiment_name = experiment
        self._account = account
        self._callback = callback or Callback()
        self._poll = poll
        self._monotonic = monotonic
        self._experiment = ""
        self._ids: dict[str, str] = {}
        self._told: dict[str, tuple[float, RunStatus]] = {}
        self._cancelled: set[str] = set()
        self._pace = Pace()

    def open(self) -> None:
        """Nothing needs to be opened: the first run finds out whether the API answers."""

    def close(self) -> None:
        """Let go; the runs go on."""
        self._api.close()

    def probe(self) -> str:
        """Say where it is, if it answers; see `coalmine.engines.open.Far`."""
        self._api.health()
        self._api.find_experiment(self._experiment_name)
        return f"Kubeflow Pipelines at {self._api.host}"

    def submit(self, request: RunRequest) -> None:
        """Begin a run; see `coalmine.engines.protocol.Engine`."""
        graph, text = self._versions.compiled(request.pipeline)
        told = self._callback.told(graph, request.parameters)
        check_for(self.name, told)
        check_known(graph, told)
        values = typed(graph, told)
        try:
            version = self._versions.uploaded(graph, text)
            if self._find(name_of(request.run_id)) is None:
                self._create(name_of(request.run_id), version, values)
        except KfpError as error:
            if error.code in REFUSED:
                raise InputError(error.message) from None
            if error.code == NOT_FOUND:
                self._experiment = ""  # somebody deleted what the run needs
                self._versions.forget()
            raise
        if request.run_id in self._cancelled:
            self.cancel(request.run_id)

    def status(self, run_id: str) -> RunStatus | None:
        """Tell how a run goes; see `coalmine.engines.protocol.Engine`."""
        at, told = self._told.get(run_id, (0.0, None))
        if told and self._monotonic() - at < self._poll:
            return told
        run = self._find(name_of(run_id))
        if run is None:
            return None
        found = self._read(run_id, run)
        if found.state.ended:
            self._told.pop(run_id, None)
            self._ids.pop(name_of(run_id), None)
        else:
            self._told[run_id] = (self._monotonic(), found)
        return found

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; see `coalmine.engines.protocol.Engine`."""
        run = self._find(name_of(run_id))
        if run is None:
            self._cancelled.add(run_id)
            return
        self._cancelled.discard(run_id)
        self._told.pop(run_id, None)
        if run.get("state") not in ENDED:
            self._api.terminate(str(run["run_id"]))

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give what a task has written; see `coalmine.engines.protocol.Engine`."""
        now = self._monotonic()
        if self._pace.waits(run_id, task, start, now) and not self._has_ended(run_id, task):
            return b""
        for name in (name_of(run_id), name_of(exit_run_of(run_id))):
            key = self._ids.get(name) or (self._find(name) or {}).get("run_id")
            found = read_task_log(self._api, key, task, start) if key else None
            if found is not None:
                more = len(found) == MOST
                self._pace.read(run_id, task, start + len(found), now, more=more)
                return found
        return b""

    def _has_ended(self, run_id: str, task: str) -> bool:
        found = self.status(run_id)
        return found is None or any(one.name == task and one.state.ended for one in found.tasks)

    def _find(self, name: str) -> Object | None:
        known = self._ids.get(name)
        if known:
            return self._api.run(known)
        found = self._api.runs_named(self._experiment_id(), name)
        for one in found[1:]:  # of a submission whose answer was lost, and that was late
            if one.get("state") not in ENDED:
                self._api.terminate(str(one["run_id"]))
        if not found:
            return None
        self._ids[name] = str(found[0]["run_id"])
        return self._api.run(self._ids[name])

    def _create(self, name: str, version: Version, values: Mapping[str, object]) -> None:
        body: Object = {
            "display_name": name,
            "experiment_id": self._experiment_id(),
            "pipeline_version_reference": version.reference,
            "runtime_config": {"parameters": dict(values)},
        }
        if self._account:
            body["service_account"] = self._account
        self._api.create_run(body)

    def _experiment_id(self) -> str:
        if not self._experiment:
            self._experiment = self._api.experiment(self._experiment_name)
        return self._experiment

    def _read(self, run_id: str, run: Object) -> RunStatus:
        version = self._versions.of(run)
        found = read_run(run_id, run, version.graph)
        if found.state is not RunState.CANCELLED or version.graph.exit_task is None:
            return found
        if found.tasks[-1].state is TaskState.SUCCEEDED:
            return found
        return self._cleaned_up(found, run, version, version.graph.exit_task.name)

    def _cleaned_up(
        self, found: RunStatus, run: Object, version: Version, exit_task: str
    ) -> RunStatus:
        """Run the exit task of a run that was terminated, as a run of its own."""
        name = name_of(exit_run_of(found.run_id))
        text = exit_only(version.text, exit_task)
        if text is None:
            return unclean(found)
        after = self._find(name)
        if after is None:
            values = (run.get("runtime_config") or {}).get("parameters") or {}
            self._create(name, self._versions.uploaded(version.graph, text, "-exit"), values)
            return with_exit(found, None)
        return with_exit(found, read_run(found.run_id, after, version.graph))
