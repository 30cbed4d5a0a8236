"""The few requests of Kubeflow Pipelines' REST API, v2beta1, that runs need.

Not by the KFP SDK's client: importing that takes more than a second and 100 MB, and a launcher
needs neither its compiler nor its printing. Source of paths and fields: kfp-server-api 2.17, which
is made from the API's own definition; tests hold the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx

from coalmine._base.bearer import bearer
from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import BusyError

__all__ = ["NOT_FOUND", "KfpApi", "KfpError", "TokenFile", "pod_token"]

Object = dict[str, Any]
ROOT = "/apis/v2beta1"
TIMEOUT = 30.0
PAGE = 100
NOT_FOUND, CONFLICT, TOO_MANY, UNAUTHORIZED = 404, 409, 429, 401
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow mounts a pod's token (its documentation, "Connect the SDK to the API")."""


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


class TokenFile(httpx.Auth):
    """Shows a token from a file, which is read again when the token was refused: pods' are renewed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown: dict[str, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Show the token, and once more if it was refused."""
        self._shown = self._shown or self._read()
        request.headers.update(self._shown)
        answer = yield request
        if answer.status_code == UNAUTHORIZED:
            self._shown = self._read()
            request.headers.update(self._shown)
            yield request

    def _read(self) -> dict[str, str]:
        try:
            return bearer(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, InputError) as error:
            raise CoalmineError(
                f"the token for Kubeflow Pipelines cannot be read: {error}"
            ) from None


def pod_token() -> Path | None:
    """Find the token that a pod in the cluster has for the API."""
    return POD_TOKEN if POD_TOKEN.is_file() else None


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
        absent: frozenset[int] | set[int] = frozenset(),
        **rest: Any,  # noqa: ANN401 - passed on
    ) -> Object | None:
        try:
            answer = self._http.request(method, f"{self.host}{ROOT}{path}", **rest)
        except httpx.HTTPError as error:
            raise CoalmineError(
                f"Kubeflow Pipelines at {self.host} does not answer: {error}",
                fix="give the base URL of its API with --kfp-host",
            ) from None
        if answer.status_code in absent:
            return None
        if not answer.is_success:
            raise _refusal(f"{method} {path}", answer)
        return _read(answer, self.host)


def _named(name: str) -> str:
    equal = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [equal]})


def _read(answer: httpx.Response, host: str) -> Object:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CoalmineError(
            f"what answers at {host} is not the API of Kubeflow Pipelines",
            fix="give the base URL of its API with --kfp-host; a login page may stand before it",
        )
    return found


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
