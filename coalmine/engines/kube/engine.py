"""An engine whose runs are objects of Kubernetes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.compiler.graph import Graph
from coalmine.engines.callback import Callback
from coalmine.engines.ending import exit_run_of, lacks_exit, unclean, with_exit
from coalmine.engines.kube.answers import NOT_FOUND, KubeError, Object
from coalmine.engines.kube.client import KubeClient
from coalmine.engines.kube.dialect import Dialect, name_of
from coalmine.engines.kube.logs import PodLogs
from coalmine.engines.kube.mirror import RELEASE, Mirror
from coalmine.engines.protocol import RunRequest, RunStatus
from coalmine.engines.values import check_for, check_known

__all__ = ["KubeEngine"]

LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
VERBS = ("create", "get", "list", "watch", "patch")
REFUSED = {400, 413, 422}
"""Answers to an object that will be the same the next time."""


class KubeEngine:
    """Runs pipelines on Tekton or Argo.

    Args:
        dialect: Which.
        client: The API server.
        read_graph: Reads a pipeline file.
        embedded: Whether each run carries its pipeline, so that it is the one this launcher knows;
            else the cluster has it under its name.
        account: The service account of the tasks; empty for the one of the pipeline's name.
        callback: How tasks reach the launcher.
    """

    portable = True

    def __init__(
        self,
        dialect: Dialect,
        client: KubeClient,
        read_graph: Callable[[Path], Graph],
        *,
        embedded: bool = True,
        account: str = "",
        callback: Callback | None = None,
    ) -> None:
        self.name = dialect.name
        self._dialect = dialect
        self._client = client
        self._read_graph = read_graph
        self._embedded = embedded
        self._account = account
        self._callback = callback or Callback()
        self._pipelines: dict[str, tuple[Graph, Object | None]] = {}
        self._cancelled: set[str] = set()
        self._logs = PodLogs(client)
        self._runs = Mirror(client, dialect.runs, dialect.slim)
        tasks = dialect.tasks
        self._tasks = Mirror(client, tasks.resource, dialect.slim) if tasks else None
        self._mirrors = [self._runs, *([self._tasks] if self._tasks else [])]

    def open(self) -> None:
        """Begin to watch the runs that there are."""
        for mirror in self._mirrors:
            mirror.start()

    def close(self) -> None:
        """Let go; the runs go on in the cluster."""
        for mirror in self._mirrors:
            mirror.stop()
        self._client.hang_up()
        for mirror in self._mirrors:
            mirror.join()
        self._client.close()

    def probe(self) -> str:
        """Say where it is, if runs could be made there; see `coalmine.engines.open.Far`."""
        version, runs = self._client.version(), self._dialect.runs
        if not self._client.serves(runs):
            raise CoalmineError(
                f"the cluster at {self._client.server} has no {runs.plural}",
                fix=f"install {self.name} in it",
            )
        missing = [verb for verb in VERBS if not self._client.may(verb, runs)]
        if missing:
            raise CoalmineError(
                f"this account may not {', '.join(missing)} {runs.plural} in "
                f"{self._client.namespace}",
                fix="give it the rights in docs/engines.md",
            )
        return f"Kubernetes {version} at {self._client.server}, in {self._client.namespace}"

    def submit(self, request: RunRequest) -> None:
        """Begin a run; see `coalmine.engines.protocol.Engine`."""
        graph, compiled = self._pipeline(request.pipeline)
        values = self._callback.told(graph, request.parameters)
        check_for(self.name, values)
        check_known(graph, values)
        metadata = {"name": name_of(request.run_id), "labels": _labels(request)}
        body = self._dialect.run(graph, metadata, values, compiled)
        if self._account:
            _set_account(body, self._account)
        try:
            made = self._client.create(self._dialect.runs, body)
        except KubeError as error:
            if error.code in REFUSED:
                raise InputError(error.message) from None
            raise
        if made:
            self._runs.note(made)
        if request.run_id in self._cancelled:
            self.cancel(request.run_id)

    def status(self, run_id: str) -> RunStatus | None:
        """Tell how a run goes; see `coalmine.engines.protocol.Engine`."""
        found = self._read(run_id)
        if found is None or not lacks_exit(found):
            return found
        return self._cleaned_up(found)

    def _read(self, run_id: str) -> RunStatus | None:
        run = self._run(run_id)
        if run is None:
            return None
        return self._dialect.read(run_id, run, self._tasks_of(run_id, run))

    def _cleaned_up(self, found: RunStatus) -> RunStatus:
        """Run the exit task of a run that was kept from it, as a run of its own."""
        alone = exit_run_of(found.run_id)
        after = self._read(alone)
        if after is not None:
            return with_exit(found, after)
        whole = self._client.get(self._dialect.runs, name_of(found.run_id))
        metadata = {"name": name_of(alone), "labels": {RELEASE: alone}}
        body = whole and self._dialect.exit_alone(whole, metadata)
        if body is None:
            return unclean(found)
        if made := self._client.create(self._dialect.runs, body):
            self._runs.note(made)
        return with_exit(found, None)

    def cancel(self, run_id: str) -> None:
        """Ask a run to end; see `coalmine.engines.protocol.Engine`."""
        run = self._client.get(self._dialect.runs, name_of(run_id))
        if run is None:
            self._cancelled.add(run_id)
            return
        self._cancelled.discard(run_id)
        if not self._dialect.has_ended(run):
            self._end(run_id)

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give what a task has written; see `coalmine.engines.protocol.Engine`."""
        run = self._run(run_id)
        if run is None:
            return b""
        tasks = self._tasks_of(run_id, run)
        container = self._dialect.container(run, tasks, task)
        if container is None:
            told = self._dialect.read(run_id, run, tasks)
            alone = lacks_exit(told) and task in told.at_the_end
            return self.logs(exit_run_of(run_id), task, start) if alone else b""
        try:
            return self._logs.read((run_id, task, start), container)
        except KubeError as error:
            if error.code != NOT_FOUND:
                raise
            known = self._dialect.read(run_id, run, tasks).tasks
            if not any(one.name == task and one.state.ended for one in known):
                return b""  # its pod is yet to be made
            raise KubeError(
                f"the pod {container.pod} is gone from {self._client.namespace}, and the log of "
                f"{task} with it",
                NOT_FOUND,
                fix="keep pods for longer, or collect their logs where they outlive them",
            ) from None

    def _end(self, run_id: str) -> None:
        name = name_of(run_id)
        try:
            self._client.merge(self._dialect.runs, name, self._dialect.ending)
        except KubeError:
            # It may have come to its own end meanwhile, and is then not to be changed.
            now = self._client.get(self._dialect.runs, name)
            if now and not self._dialect.has_ended(now):
                raise

    def _run(self, run_id: str) -> Object | None:
        known = self._runs.of(run_id)
        return known[0] if known else self._client.get(self._dialect.runs, name_of(run_id))

    def _tasks_of(self, run_id: str, run: Object) -> tuple[Object, ...]:
        if not self._tasks or not self._dialect.tasks:
            return ()
        if not self._dialect.has_ended(run):
            return self._tasks.of(run_id)
        # The two watches are not in step, and what the last tasks said decides what it came to.
        known = self._dialect.tasks
        return tuple(self._client.list(known.resource, known.of(run["metadata"]["name"]))[0])

    def _pipeline(self, path: Path) -> tuple[Graph, Object | None]:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in self._pipelines:
            graph = self._callback.equipped(self._read_graph(path))
            compiled = self._dialect.compile(graph) if self._embedded else None
            self._pipelines[digest] = (graph, compiled)
        return self._pipelines[digest]


def _set_account(body: Object, account: str) -> None:
    spec = body["spec"]
    spec.get("taskRunTemplate", spec)["serviceAccountName"] = account


def _labels(request: RunRequest) -> Mapping[str, str]:
    said = {
        f"coalmine.dev/{name}": request.parameters.get(name, "") for name in ("service", "version")
    }
    kept = {key: value for key, value in said.items() if LABEL.fullmatch(value)}
    return {RELEASE: request.run_id, **kept}
