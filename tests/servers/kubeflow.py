"""A server of Kubeflow Pipelines' REST API, v2beta1: pipelines, versions, experiments and runs.

And of the two older paths that logs need: a run's Workflow, and what a pod has written, with the
answers of its API server's source (`run_log_server.go`) where there is no such pod.

What it takes is held against the models of kfp-server-api, made from the API's own definition: an
unknown field is a 400, as it is there. Nothing runs: a test says how a run goes.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

__all__ = ["Kubeflow", "Trouble", "serve_kubeflow"]

ROOT = "/apis/v2beta1"
WORKFLOW = re.compile("/apis/v1beta1/runs/([^/:]+)")
LOG = re.compile("/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log")
Object = dict[str, Any]


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.code, self.headers = code, headers


@dataclass
class Trouble:
    """What it does wrong, on purpose: refuse, or break the connection, before or after the work."""

    method: str
    path: str
    code: int = 0
    after: bool = False
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Kubeflow:
    """What it holds, and what it was asked."""

    url: str = ""
    token: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    experiments: dict[str, Object] = field(default_factory=dict)
    pipelines: dict[str, Object] = field(default_factory=dict)
    versions: dict[str, Object] = field(default_factory=dict)
    runs: dict[str, Object] = field(default_factory=dict)
    workflows: dict[str, Object] = field(default_factory=dict)
    logs: dict[tuple[str, str], bytes | str] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    clock: int = 0

    def now(self) -> str:
        self.clock += 1
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def said(self, method: str, part: str) -> list[Any]:
        return [body for verb, path, body in self.asked if verb == method and part in path]

    def named(self, name: str) -> list[Object]:
        return [run for run in self.runs.values() if run["display_name"] == name]

    def say(self, name: str, state: str, message: str = "", **tasks: str) -> None:
        """Let the oldest run of a name be in a state, with its tasks."""
        with self.lock:
            run = self.named(name)[0]
            run["state"] = state
            run["error"] = {"message": message} if message else None
            run["run_details"] = {"task_details": [self._task(*one) for one in tasks.items()]}

    def _task(self, name: str, state: str) -> Object:
        moments = {"start_time": self.now(), "end_time": self.now()}
        return {"display_name": name, "task_id": str(uuid.uuid4()), "state": state, **moments}

    def old_answer(self, path: str) -> Object | bytes | None:
        """Answer what only an older version has; None for all else.

        ``workflows`` are by run id, ``logs`` by that and the pod: bytes, or why there is none.
        """
        if found := WORKFLOW.fullmatch(path):
            run = _one(self.runs, found[1])
            made = self.workflows.get(found[1])
            about = {"workflow_manifest": json.dumps(made)} if made else {}
            return {"run": {"id": run["run_id"]}, "pipeline_runtime": about}
        if found := LOG.fullmatch(path):
            run_id, pod = found.groups()
            kept = self.logs.get((run_id, pod), f'pods "{pod}" not found')
            if isinstance(kept, bytes):
                return kept
            raise RefusedError(500, f"Failed to read logs for run {run_id}: {kept}")
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Object:
        for verb, pattern, act in (
            ("GET", "/healthz", self._healthz),
            ("GET", "/experiments", self._list_experiments),
            ("POST", "/experiments", self._create_experiment),
            ("GET", "/pipelines/names/([^/]+)", self._pipeline_named),
            ("POST", "/pipelines", self._create_pipeline),
            ("POST", "/pipelines/upload_version", self._upload_version),
            ("GET", "/pipelines/([^/]+)/versions", self._list_versions),
            ("GET", "/pipelines/([^/]+)/versions/([^/]+)", self._version),
            ("POST", "/runs", self._create_run),
            ("GET", "/runs", self._list_runs),
            ("GET", "/runs/([^/:]+)", self._run),
            ("POST", "/runs/([^/:]+):terminate", self._terminate),
        ):
            found = re.fullmatch(ROOT + pattern, path)
            if found and verb == method:
                with self.lock:
                    return act(query, body, *found.groups())
        raise RefusedError(404, f"no such path: {method} {path}")

    def _healthz(self, _query: Any, _body: Any) -> Object:
        return {"multi_user": False, "commit_sha": "unknown"}

    def _list_experiments(self, query: dict[str, str], _body: Any) -> Object:
        return {"experiments": _filtered(self.experiments, query)}

    def _create_experiment(self, _query: Any, body: Object) -> Object:
        _check(kfp_server_api.V2beta1Experiment, body)
        if any(one["display_name"] == body["display_name"] for one in self.experiments.values()):
            raise RefusedError(409, "Already exist error: the experiment exists")
        return self._keep(self.experiments, "experiment_id", body)

    def _pipeline_named(self, _query: Any, _body: Any, name: str) -> Object:
        for one in self.pipelines.values():
            if one["name"] == name:
                return one
        raise RefusedError(404, f"ResourceNotFoundError: pipeline {name} not found")

    def _create_pipeline(self, _query: Any, body: Object) -> Object:
        _check(kfp_server_api.V2beta1Pipeline, body)
        if any(one["name"] == body["name"] for one in self.pipelines.values()):
            raise RefusedError(409, "Already exist error: the pipeline exists")
        return self._keep(self.pipelines, "pipeline_id", body)

    def _upload_version(self, query: dict[str, str], body: str) -> Object:
        pipeline = query["pipelineid"]
        if pipeline not in self.pipelines:
            raise RefusedError(404, "pipeline not found")
        taken = [one for one in self.versions.values() if one["name"] == query["name"]]
        if taken:
            raise RefusedError(409, "Already exist error: the version exists")
        first, *rest = yaml.load_all(body, Loader=yaml.CSafeLoader)
        spec = {"pipeline_spec": first, "platform_spec": rest[0]} if rest else first
        named = {"name": query["name"], "display_name": query["display_name"]}
        return self._keep(
            self.versions,
            "pipeline_version_id",
            {**named, "pipeline_id": pipeline, "pipeline_spec": spec},
        )

    def _list_versions(self, query: dict[str, str], _body: Any, pipeline: str) -> Object:
        mine = {key: one for key, one in self.versions.items() if one["pipeline_id"] == pipeline}
        return {"pipeline_versions": _filtered(mine, query)}

    def _version(self, _query: Any, _body: Any, _pipeline: str, version: str) -> Object:
        return _one(self.versions, version)

    def _create_run(self, _query: Any, body: Object) -> Object:
        _check(kfp_server_api.V2beta1Run, body)
        _check(kfp_server_api.V2beta1RuntimeConfig, body["runtime_config"])
        reference = body["pipeline_version_reference"]
        _check(kfp_server_api.V2beta1PipelineVersionReference, reference)
        version = _one(self.versions, reference["pipeline_version_id"])
        first = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
        known = first["root"].get("inputDefinitions", {}).get("parameters", {})
        unknown = sorted(body["runtime_config"]["parameters"].keys() - known.keys())
        if unknown:
            raise RefusedError(400, f"parameter {unknown[0]} is not in the pipeline's inputs")
        if body["experiment_id"] not in self.experiments:
            raise RefusedError(404, "experiment not found")
        return self._keep(self.runs, "run_id", {**body, "state": "PENDING"})

    def _list_runs(self, query: dict[str, str], _body: Any) -> Object:
        mine = {
            key: one
            for key, one in self.runs.items()
            if one["experiment_id"] == query.get("experiment_id", one["experiment_id"])
        }
        return {"runs": [_without_details(one) for one in _filtered(mine, query)]}

    def _run(self, _query: Any, _body: Any, run_id: str) -> Object:
        return _one(self.runs, run_id)

    def _terminate(self, _query: Any, _body: Any, run_id: str) -> Object:
        _one(self.runs, run_id)["state"] = "CANCELING"
        return {}

    def _keep(self, kept: dict[str, Object], key: str, body: Object) -> Object:
        number = str(uuid.uuid4())
        kept[number] = {**body, key: number, "created_at": self.now()}
        return kept[number]


def _without_details(run: Object) -> Object:
    return {key: value for key, value in run.items() if key != "run_details"}


def _one(kept: dict[str, Object], key: str) -> Object:
    if key not in kept:
        raise RefusedError(404, f"ResourceNotFoundError: {key} not found")
    return kept[key]


def _check(model: Any, body: Object) -> None:
    unknown = body.keys() - set(model.attribute_map.values())
    if unknown:
        raise RefusedError(400, f"unknown field {min(unknown)!r}")


def _filtered(kept: dict[str, Object], query: dict[str, str]) -> list[Object]:
    wanted = json.loads(query.get("filter", "{}")).get("predicates", [])
    for one in wanted:
        if one["operation"] != "EQUALS":
            raise RefusedError(400, f"operation {one['operation']} is not known here")
    return [
        item
        for item in kept.values()
        if all(item[one["key"]] == one["stringValue"] for one in wanted)
    ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Kubeflow

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        split = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        body = self._body(raw)
        self.known.asked.append((self.command, self.path, body))
        trouble = self._trouble()
        try:
            if trouble and not trouble.after and not trouble.code:
                self._break()
                return
            self._refuse(trouble)
            said = self.known.old_answer(split.path) if self.command == "GET" else None
            if said is None:
                said = self.known.answer(self.command, split.path, query, body)
            if trouble:
                self._break()
                return
            self._say(200, said)
        except RefusedError as refusal:
            self._say(refusal.code, {"error_message": str(refusal)}, **refusal.headers)

    do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

    def _refuse(self, trouble: Trouble | None) -> None:
        if trouble and trouble.code:
            raise RefusedError(trouble.code, "on purpose", **trouble.headers)
        if self.known.token and self.headers["authorization"] != f"Bearer {self.known.token}":
            raise RefusedError(401, "Unauthenticated")

    def _break(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self, raw: bytes) -> Any:
        kind = self.headers.get("content-type", "")
        if not kind.startswith("multipart/"):
            return json.loads(raw) if raw else None
        message = BytesParser().parsebytes(f"content-type: {kind}\r\n\r\n".encode() + raw)
        _, part = message.walk()
        found = part.get_payload(decode=True)
        return found.decode() if isinstance(found, bytes) else None

    def _trouble(self) -> Trouble | None:
        with self.known.lock:
            for one in self.known.troubles:
                if one.times and one.method == self.command and re.search(one.path, self.path):
                    one.times -= 1
                    return one
        return None

    def _say(self, code: int, said: Object | bytes, **headers: str) -> None:
        plain = isinstance(said, bytes)
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        kind = "text/plain" if plain else "application/json"
        self.send_response(code)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"content-type": kind, **named}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serve_kubeflow() -> Iterator[Kubeflow]:
    """Run a server on a free port of 127.0.0.1."""
    known = Kubeflow()
    handler = type("Handler", (_Handler,), {"known": known})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    known.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
