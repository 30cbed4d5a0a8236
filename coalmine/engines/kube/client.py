"""The few requests to a Kubernetes API server that engines need.

Where it is and how to log in is lightkube's part: kubeconfig files with their contexts, tokens,
certificates and plug-ins, and a pod's own account, whose token is read again when it was renewed.
There is no limit of our own on requests a second: a server that has too much to do says so by 429.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import BusyError
from coalmine.engines.settings import EngineSettings

try:
    import httpx2
    from lightkube.config.client_adapter import Client, ConnectionParams
    from lightkube.config.kubeconfig import KubeConfig, SingleConfig
    from lightkube.core.exceptions import ConfigError
except ImportError:
    raise InputError(
        "speaking to Kubernetes needs lightkube",
        field="engine",
        fix='pip install "coalmine[kubernetes]"',
    ) from None

__all__ = ["KubeClient", "KubeError", "Resource", "connect"]

Object = dict[str, Any]

PAGE = 500
WATCH_SECONDS = 300
SILENT_SECONDS = 130.0
"""A server bookmarks a watch about once a minute, so a longer silence is a lost connection."""
GONE = 410
TOO_MANY = 429
NOT_FOUND = 404
CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, by its place in paths."""

    version: str
    plural: str

    @property
    def root(self) -> str:
        """The path under which its API group and version stand."""
        return f"apis/{self.version}" if "/" in self.version else f"api/{self.version}"


class KubeError(CoalmineError):
    """The API server refused.

    Args:
        message: What was asked for, and what the server said.
        code: The HTTP status.
        fix: What the user can do.
    """

    def __init__(self, message: str, code: int, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


def connect(settings: EngineSettings) -> KubeClient:
    """Make a client; nothing is sent yet.

    Raises:
        InputError: There is no kubeconfig, or it has no such context.
    """
    try:
        config = _config(settings)
        http = Client(config, ConnectionParams())
    except (ConfigError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"no API server of Kubernetes is known: {error}",
            field="--kubeconfig",
            fix="name a kubeconfig file with --kubeconfig, or run in a pod with an account",
        ) from None
    return KubeClient(http, settings.namespace or config.namespace, config.cluster.server)


def _config(settings: EngineSettings) -> SingleConfig:
    if settings.kubeconfig:
        known = KubeConfig.from_file(settings.kubeconfig)
    else:
        known = KubeConfig.from_env()
    found = known.get(settings.context or None)
    if found is None:
        raise ConfigError("it has no current context")
    return found


class KubeClient:
    """Speaks to one API server about one namespace.

    Every method raises `BusyError` where the server has too much to do, `KubeError` where it
    refuses otherwise, and `CoalmineError` where it does not answer.
    """

    def __init__(self, http: httpx2.Client, namespace: str, server: str) -> None:
        self._http = http
        self._watches: set[socket.socket] = set()
        self.namespace = namespace
        self.server = server

    def hang_up(self) -> None:
        """End the watches that are under way: whoever reads them gets no more."""
        for one in tuple(self._watches):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def create(self, resource: Resource, body: Object) -> Object | None:
        """Create an object; None if one of its name exists."""
        return self._object("POST", self._path(resource), {CONFLICT}, json=body)

    def get(self, resource: Resource, name: str) -> Object | None:
        """Get an object; None if there is none."""
        return self._object("GET", self._path(resource, name), {NOT_FOUND})

    def merge(self, resource: Resource, name: str, patch: Mapping[str, Any]) -> Object | None:
        """Change an object by a merge patch; None if there is none."""
        kind = {"content-type": "application/merge-patch+json"}
        path = self._path(resource, name)
        content = json.dumps(patch)
        return self._object("PATCH", path, {NOT_FOUND}, content=content, headers=kind)

    def list(self, resource: Resource, selector: str) -> tuple[list[Object], str]:
        """List objects as they are now, and the resourceVersion of the list."""
        found: list[Object] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = self._object("GET", self._path(resource), set(), params=query) or {}
            found += page.get("items") or []
            metadata = page.get("metadata", {})
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    def watch(self, resource: Resource, selector: str, version: str) -> Iterator[Object]:
        """Give the events after a resourceVersion, until the server ends the watch.

        Raises:
            KubeError: With code 410 when the resourceVersion is too old: list again.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = httpx2.Timeout(10.0, read=SILENT_SECONDS)
        path = self._path(resource)
        try:
            with self._http.stream("GET", path, params=query, timeout=timeout) as answer:
                if answer.status_code >= 400:  # noqa: PLR2004 - HTTP
                    answer.read()
                    raise _refusal(f"watch {resource.plural}", answer)
                with self._under_way(answer):
                    for line in answer.iter_lines():
                        yield _event(line, resource)
        except httpx2.HTTPError as error:
            raise self._silent(error) from None

    def logs(self, pod: str, container: str) -> bytes | None:
        """Give what a container has written; None if there is no such pod or it has not begun."""
        path = f"api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        answer = self._send("GET", path, params={"container": container})
        if answer.status_code in {NOT_FOUND, 400}:  # 400: the container is still being made
            return None
        if answer.is_error:
            raise _refusal(f"read the log of {pod}", answer)
        return answer.content

    def version(self) -> str:
        """Ask the server for its version."""
        found = self._object("GET", "version", set()) or {}
        return str(found.get("gitVersion", "unknown version"))

    def serves(self, resource: Resource) -> bool:
        """Ask whether the server knows a kind of object."""
        found = self._object("GET", resource.root, {NOT_FOUND}) or {}
        return any(one.get("name") == resource.plural for one in found.get("resources", []))

    def may(self, verb: str, resource: Resource) -> bool:
        """Ask whether this client may do something in its namespace."""
        group = resource.version.partition("/")[0] if "/" in resource.version else ""
        attributes = {"namespace": self.namespace, "verb": verb, "group": group}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "resource": resource.plural}},
        }
        path = "apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        found = self._object("POST", path, {NOT_FOUND}, json=review) or {}
        return bool(found.get("status", {}).get("allowed", True))

    def _path(self, resource: Resource, name: str = "") -> str:
        path = f"{resource.root}/namespaces/{self.namespace}/{resource.plural}"
        return f"{path}/{name}" if name else path

    def _object(self, method: str, path: str, absent: set[int], **rest: Any) -> Object | None:  # noqa: ANN401 - passed on
        answer = self._send(method, path, **rest)
        if answer.status_code in absent and _is_about_name(answer):
            return None
        if answer.is_error:
            raise _refusal(f"{method} {path}", answer)
        found = answer.json()
        if not isinstance(found, dict):
            raise CoalmineError(f"{self.server} is no API server of Kubernetes")
        return found

    def _send(self, method: str, path: str, **rest: Any) -> httpx2.Response:  # noqa: ANN401 - passed on
        try:
            return self._http.request(method, path, **rest)
        except httpx2.HTTPError as error:
            raise self._silent(error) from None

    @contextlib.contextmanager
    def _under_way(self, answer: httpx2.Response) -> Iterator[None]:
        connection: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
        self._watches.add(connection)
        try:
            yield
        finally:
            self._watches.discard(connection)

    def _silent(self, error: Exception) -> CoalmineError:
        cause = str(error) or type(error).__name__
        return CoalmineError(
            f"the API server {self.server} does not answer: {cause}",
            fix="see that it runs and can be reached from here",
        )


def _is_about_name(answer: httpx2.Response) -> bool:
    """Tell a taken or absent name from a path that the server does not know at all."""
    body = _status(answer)
    if answer.status_code == CONFLICT:
        return body.get("reason") == "AlreadyExists"
    return body.get("reason") == "NotFound" and "name" in (body.get("details") or {})


def _status(answer: httpx2.Response) -> Object:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(what: str, answer: httpx2.Response) -> CoalmineError:
    body = _status(answer)
    said = body.get("message") or answer.text.strip()[:200] or answer.reason_phrase
    message = f"{what}: {answer.status_code}: {said}"
    if answer.status_code == TOO_MANY:
        return BusyError(message, _seconds(answer.headers.get("retry-after", "")))
    return KubeError(message, answer.status_code, fix=_fix(answer.status_code))


def _fix(code: int) -> str:
    return {
        401: "see that the token or the certificate is still good",
        403: "give the account the rights in docs/engines.md",
        404: "see that the namespace exists and the engine is installed in this cluster",
    }.get(code, "")


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0


def _event(line: str, resource: Resource) -> Object:
    try:
        event: Object = json.loads(line)
    except ValueError:
        raise CoalmineError(f"the watch of {resource.plural} was cut off") from None
    if event["type"] == "ERROR":
        status = event["object"]
        raise KubeError(f"watch {resource.plural}: {status.get('message')}", int(status["code"]))
    return event
