"""The few requests of Kubeflow Pipelines' REST API that runs need: v2beta1, but for logs.

Not by the KFP SDK's client: importing that takes more than a second and 100 MB, and a launcher
needs neither its compiler nor its printing. Source of paths and fields: kfp-server-api 2.17, which
is made from the API's own definition; tests hold the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.kfp.token import TokenFile
from coalmine.engines.protocol import BusyError

__all__ = ["NOT_FOUND", "KfpApi", "KfpError"]

Object = dict[str, Any]
ROOT = "/apis/v2beta1"
WORKFLOWS, LOGS = "/apis/v1beta1", "/apis/v1alpha1"
"""Where alone it gives these two: a run's Workflow, and what a pod has written."""
TIMEOUT = 30.0
PAGE = 100
NOT_FOUND, CONFLICT, TOO_MANY = 404, 409, 429


class KfpError(CoalmineError):
    """The API refused.

    Args:
        message: What was asked for, and what it said.
        code: The HTTP status.
        fix: What the user can do.
    """

    def __init__(self, message: str, code: int, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


class KfpApi:
    """Speaks to one installation.

    Args:
        host: The base URL of the API.
        namespace: Of the user; empty for installations without users.
        token_file: The token to show, if any.

    Every method raises `BusyError` where the API has too much to do, `KfpError` where it refuses
    otherwise, and `CoalmineError` where it does not answer.
    """

    def __init__(self, host: str, namespace: str = "", token_file: Path | None = None) -> None:
        if not host.startswith(("http://", "https://")):
            raise InputError(
                f"{host!r} is no base URL of Kubeflow Pipelines",
                field="--kfp-host",
                fix="give it with --kfp-host, for example http://ml-pipeline.kubeflow:8888",
            )
        self.host = host.rstrip("/")
        self.namespace = namespace
        auth = TokenFile(token_file) if token_file else None
        self._http = httpx.Client(timeout=TIMEOUT, auth=auth)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def health(self) -> Object:
        """Ask whether it is well; also tells its version."""
        return self._send("GET", "/healthz") or {}

    def experiment(self, name: str) -> str:
        """Give the id of an experiment, which is made if there is none."""
        known = self.find_experiment(name)
        if known:
            return known
        body = {"display_name": name, **self._of_namespace()}
        made = self._send("POST", "/experiments", json=body, absent={CONFLICT})
        return str(made["experiment_id"]) if made else self._made(self.find_experiment(name), name)

    def find_experiment(self, name: str) -> str:
        """Give the id of an experiment; empty if there is none."""
        query = {"filter": _named(name), **self._of_namespace()}
        found = (self._send("GET", "/experiments", params=query) or {}).get("experiments") or []
        return str(found[0]["experiment_id"]) if found else ""

    def pipeline(self, name: str) -> str:
        """Give the id of a pipeline, which is made without a version if there is none."""
        known = self._pipeline_named(name)
        if known:
            return known
        body = {"name": name, "display_name": name, **self._of_namespace()}
        made = self._send("POST", "/pipelines", json=body, absent={CONFLICT})
        return str(made["pipeline_id"]) if made else self._made(self._pipeline_named(name), name)

    def _pipeline_named(self, name: str) -> str:
        query = self._of_namespace()
        found = self._send("GET", f"/pipelines/names/{name}", params=query, absent={NOT_FOUND})
        return str(found["pipeline_id"]) if found else ""

    def version(self, pipeline: str, name: str) -> str | None:
        """Give the id of a pipeline's version; None if there is none of this name."""
        path = f"/pipelines/{pipeline}/versions"
        found = self._send("GET", path, params={"filter": _named(name), "page_size": "1"}) or {}
        versions = found.get("pipeline_versions") or []
        return str(versions[0]["pipeline_version_id"]) if versions else None

    def spec(self, pipeline: str, version: str) -> Object:
        """Give what a version of a pipeline holds."""
        found = self._send("GET", f"/pipelines/{pipeline}/versions/{version}") or {}
        return dict(found.get("pipeline_spec") or {})

    def upload(self, pipeline: str, name: str, text: str) -> str:
        """Upload a version of a pipeline; one of this name that is there already is taken."""
        known = self.version(pipeline, name)
        if known:
            return known
        made = self._send(
            "POST",
            "/pipelines/upload_version",
            params={"pipelineid": pipeline, "name": name, "display_name": name},
            files={"uploadfile": (f"{name}.yaml", text.encode(), "application/yaml")},
            absent={CONFLICT},
        )
        if made:
            return str(made["pipeline_version_id"])
        return self._made(self.version(pipeline, name), name)

    def create_run(self, body: Mapping[str, Any]) -> Object:
        """Make a run; the same body again is a second one."""
        return self._send("POST", "/runs", json=body) or {}

    def run(self, run_id: str) -> Object | None:
        """Get a run by the API's id; None if there is none."""
        return self._send("GET", f"/runs/{run_id}", absent={NOT_FOUND})

    def runs_named(self, experiment: str, name: str) -> list[Object]:
        """List the runs of a name, the oldest first."""
        query = {"filter": _named(name), "experiment_id": experiment, "page_size": str(PAGE)}
        found = self._send("GET", "/runs", params={**query, **self._of_namespace()}) or {}
        return sorted(found.get("runs") or [], key=lambda one: (one["created_at"], one["run_id"]))

    def terminate(self, run_id: str) -> None:
        """End a run."""
        self._send("POST", f"/runs/{run_id}:terminate", absent={NOT_FOUND})

    def workflow(self, run_id: str) -> Object:
        """Give the Workflow that a run became; empty while there is none."""
        found = self._send("GET", f"/runs/{run_id}", root=WORKFLOWS) or {}
        text = (found.get("pipeline_runtime") or {}).get("workflow_manifest")
        return dict(json.loads(text)) if text else {}

    @contextmanager
    def log(self, run_id: str, pod: str) -> Iterator[Iterator[bytes]]:
        """Give what a pod of a run has written so far, part by part."""
        path = f"/runs/{run_id}/nodes/{pod}/log"
        try:
            with self._http.stream("GET", f"{self.host}{LOGS}{path}") as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(f"GET {path}", answer)
                yield answer.iter_bytes()
        except httpx.HTTPError as error:
            raise self._silent(error) from None

    def _made(self, found: str | None, name: str) -> str:
        """Take what another made a moment ago."""
        if not found:
            raise CoalmineError(
                f"Kubeflow Pipelines at {self.host} says that {name} exists, and does not find it",
                fix="see in its UI whether it is archived, or another user's",
            )
        return found

    def _of_namespace(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _send(
        self,
        method: str,
        path: str,
        *,
        root: str = ROOT,
        absent: frozenset[int] | set[int] = frozenset(),
        **rest: Any,  # noqa: ANN401 - passed on
    ) -> Object | None:
        try:
            answer = self._http.request(method, f"{self.host}{root}{path}", **rest)
        except httpx.HTTPError as error:
            raise self._silent(error) from None
        if answer.status_code in absent:
            return None
        if not answer.is_success:
            raise _refusal(f"{method} {path}", answer)
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> Object:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            fix = "give the base URL of its API with --kfp-host; a login page may stand before it"
            raise CoalmineError(
                f"what answers at {self.host} is not the API of Kubeflow Pipelines", fix=fix
            )
        return found

    def _silent(self, error: Exception) -> CoalmineError:
        return CoalmineError(
            f"Kubeflow Pipelines at {self.host} does not answer: {error}",
            fix="give the base URL of its API with --kfp-host",
        )


def _named(name: str) -> str:
    equal = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [equal]})


def _refusal(what: str, answer: httpx.Response) -> CoalmineError:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):  # what stands before the API may say anything
        body = {}
    said = body.get("error_message") or body.get("message") or body.get("error")
    message = f"{what}: {answer.status_code}: {said or answer.text.strip()[:200]}"
    if answer.status_code == TOO_MANY:
        after = answer.headers.get("retry-after", "")
        return BusyError(message, float(after) if after.isdecimal() else 1.0)
    fix = {401: "give a token with --kfp-token-file", 403: "give the account rights on pipelines"}
    return KfpError(message, answer.status_code, fix=fix.get(answer.status_code, ""))
