"""The Kubernetes API in plain objects: paths in, dictionaries out, faults by what helps.

lightkube finds the cluster and speaks for the user (kubeconfig, service account, exec plugins).
The objects stay dictionaries, so that no field that a newer cluster knows is lost.

A write that may or may not have happened (a broken connection, a busy server) is a `StaleError`:
the one who writes looks at the cluster anew and decides anew, and never repeats a write blindly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coalmine._base.errors import CoalmineError, InputError

if TYPE_CHECKING:
    import httpx2

__all__ = ["MANAGER", "Change", "Kube", "Object", "Resource", "StaleError", "open_kube"]

Object = dict[str, Any]
MANAGER = "coalmine"
"""The field manager's name in ``metadata.managedFields`` of what was written here."""
READ_PAUSES = (0.2, 0.5, 1.0)
"""Seconds between tries of a read."""
DENIED = frozenset({401, 403})
BUSY = frozenset({408, 409, 410, 429, 500, 502, 503, 504})
REFUSED_TEST = "the server rejected our request due to an error in our request"
"""All that the API server says of a JSON Patch whose test failed."""


class StaleError(CoalmineError):
    """The cluster has moved on, or could not be asked: look at it anew and decide anew."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object.

    Attributes:
        api: Group and version; ``v1`` for the core group.
        plural: Its name in paths.
        kind: Its name in objects.
    """

    api: str
    plural: str
    kind: str

    def path(self, namespace: str, name: str = "") -> str:
        """Name one object, or all of a namespace."""
        root = f"/apis/{self.api}" if "/" in self.api else f"/api/{self.api}"
        return f"{root}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as data.

    Attributes:
        method: ``POST``, ``PUT``, ``PATCH`` (a JSON Patch) or ``DELETE``.
        path: What it is about.
        body: The object, the operations, or the options of a deletion.
        what: What it does, for the log.
    """

    method: str
    path: str
    body: Any
    what: str


class Kube:
    """The API server, in one namespace.

    Args:
        http: A client that knows the server and the user.
        namespace: The namespace that services live in.
        sleep: Waits between tries of a read.
    """

    def __init__(
        self, http: httpx2.Client, namespace: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._http = http
        self.namespace = namespace
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, resource: Resource, name: str) -> Object | None:
        """Read one object; None if it is not there.

        Raises:
            StaleError: The server cannot be asked now.
            CoalmineError: It refuses.
        """
        found = self._read(resource.path(self.namespace, name), {})
        return None if found is None else _object(found)

    def list(self, resource: Resource, selector: str = "") -> Sequence[Object]:
        """Read all objects that a label selector takes; none where the kind is not installed."""
        query = {"labelSelector": selector} if selector else {}
        found = self._read(resource.path(self.namespace), query)
        return [] if found is None else list(_object(found).get("items", []))

    def knows(self, resource: Resource) -> bool:
        """Tell whether the server serves a kind: whether what defines it is installed.

        Raises:
            StaleError: The server cannot be asked now.
        """
        root = "/apis" if "/" in resource.api else "/api"
        found = self._read(f"{root}/{resource.api}", {})
        kinds = [] if found is None else _object(found).get("resources") or []
        return any(kind.get("name") == resource.plural for kind in kinds)

    def log(self, pod: str, container: str, *, previous: bool, lines: int = 20) -> str:
        """Read a container's last lines; empty if there are none."""
        path = Resource("v1", "pods", "Pod").path(self.namespace, pod) + "/log"
        query = {"container": container, "tailLines": str(lines)}
        if previous:
            query["previous"] = "true"
        try:
            found = self._send("GET", path, params=query)
        except CoalmineError:
            return ""
        return found.text if found is not None else ""

    def write(self, change: Change) -> Object:
        """Carry out one write, once.

        Raises:
            StaleError: The object has moved on, or the write may or may not have happened.
            InputError: The server or an admission webhook refuses it for good.
            CoalmineError: It is not allowed.
        """
        form = "application/json-patch+json" if change.method == "PATCH" else "application/json"
        query = {"fieldManager": MANAGER} if change.method != "DELETE" else {}
        if change.method == "POST":
            query["fieldValidation"] = "Strict"
        found = self._send(
            change.method, change.path, params=query, json=change.body, form=form, what=change.what
        )
        if found is None and change.method != "DELETE":
            raise StaleError(f"{change.path} is not there (any more)")
        return {} if found is None else _object(found)

    def ask_pod(
        self, pod: str, port: int, method: str, path: str, body: object = None
    ) -> tuple[int, str]:
        """Send a request to a pod through the API server, past every route and every meter.

        Returns:
            The status code and the body; 503 where the pod does not answer.

        Raises:
            CoalmineError: The API server does not let us ask.
        """
        base = Resource("v1", "pods", "Pod").path(self.namespace, f"{pod}:{port}")
        answer = self._exchange(
            method, f"{base}/proxy/{path.lstrip('/')}", {}, body, "application/json"
        )
        # What the pod itself refuses is an answer; what the API server refuses names the right.
        if answer.status_code in DENIED and "pods/proxy" in (said := _message(answer)):
            raise _fault(answer.status_code, said, f"{method} {path} of the pod {pod}")
        return answer.status_code, answer.text

    def _read(self, path: str, query: Mapping[str, str]) -> httpx2.Response | None:
        for pause in READ_PAUSES:
            try:
                return self._send("GET", path, params=query)
            except StaleError:
                self._sleep(pause)
        return self._send("GET", path, params=query)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: object = None,
        form: str = "application/json",
        what: str = "read",
    ) -> httpx2.Response | None:
        answer = self._exchange(method, path, params, json, form)
        if answer.status_code == 404 and method != "POST":  # noqa: PLR2004
            return None
        if not answer.is_success:
            raise _fault(answer.status_code, _message(answer), f"{what}: {method} {path}")
        return answer

    def _exchange(
        self, method: str, path: str, params: Mapping[str, str], json: object, form: str
    ) -> httpx2.Response:
        import httpx2  # noqa: PLC0415 - only where a cluster is spoken to

        headers = {"accept": "application/json", "user-agent": f"{MANAGER}/1"}
        if json is not None:
            headers["content-type"] = form
        try:
            return self._http.request(method, path, params=params, json=json, headers=headers)
        except httpx2.HTTPError as error:
            raise StaleError(
                f"the API server did not answer {method} {path}: {error or type(error).__name__}",
                fix="see that it is up, and that KUBECONFIG or the pod leads to it",
            ) from None


def open_kube(namespace: str = "") -> Kube:
    """Open the cluster that kubeconfig or the pod's service account names.

    Args:
        namespace: Where the services live; empty means the context's own.

    Raises:
        InputError: No cluster is named, or lightkube is not installed.
    """
    try:
        from lightkube.config.client_adapter import Client, ConnectionParams  # noqa: PLC0415
        from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415
        from lightkube.core.exceptions import ConfigError  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "lightkube is not installed",
            field="serving",
            fix="pip install 'coalmine[kubernetes]'",
        ) from None
    try:
        config = KubeConfig.from_env().get()
    except ConfigError as error:
        raise InputError(
            f"no Kubernetes cluster is named here: {error}",
            field="serving",
            fix="set KUBECONFIG, or run in a pod with a service account",
        ) from None
    if config is None:
        raise InputError(
            "the kubeconfig has no current context",
            field="serving",
            fix="kubectl config use-context NAME",
        )
    return Kube(Client(config, ConnectionParams()), namespace or config.namespace)


def _object(answer: httpx2.Response) -> Object:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StaleError("the API server answered with something that is no object")
    return found


def _message(answer: httpx2.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        said = {}
    message = said.get("message") if isinstance(said, dict) else None
    return str(message or answer.text.strip() or answer.reason_phrase)[:1000]


def _fault(code: int, message: str, what: str) -> CoalmineError:
    if code in BUSY or (code == 422 and message == REFUSED_TEST):  # noqa: PLR2004
        return StaleError(f"{what}: {code} {message}")
    if code in DENIED and "webhook" not in message and "exceeded quota" not in message:
        return CoalmineError(
            f"{what}: {message}", fix="give the service account the rights in deploy/serving"
        )
    return InputError(f"{what}: {message}", fix="mend what the cluster refuses")
