"""The few requests to a Kubernetes API server that engines need.

There is no limit of our own on requests a second: a server that has too much to do says so by 429.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from coalmine._base.errors import CoalmineError
from coalmine.engines.kube.answers import (
    CONFLICT,
    NOT_FOUND,
    Asked,
    Object,
    Resource,
    event_of,
    is_about_name,
    refusal,
)

__all__ = ["KubeClient"]

METHODS = {"create": "POST", "get": "GET", "list": "GET", "patch": "PATCH"}
LOGS = Resource("v1", "pods/log")
WAITS = "waiting to start"
"""What is said of a container that is still being made."""
PAGE = 500
WATCH_SECONDS = 300
SILENT_SECONDS = 130.0
"""A server bookmarks a watch about once a minute, so a longer silence is a lost connection."""


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
        return self._object("create", resource, absent=CONFLICT, json=body)

    def get(self, resource: Resource, name: str) -> Object | None:
        """Get an object; None if there is none."""
        return self._object("get", resource, name, absent=NOT_FOUND)

    def merge(self, resource: Resource, name: str, patch: Mapping[str, Any]) -> Object | None:
        """Change an object by a merge patch; None if there is none."""
        kind = {"content-type": "application/merge-patch+json"}
        content = json.dumps(patch)
        return self._object(
            "patch", resource, name, absent=NOT_FOUND, content=content, headers=kind
        )

    def list(self, resource: Resource, selector: str) -> tuple[list[Object], str]:
        """List objects as they are now, and the resourceVersion of the list."""
        found: list[Object] = []
        query = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = self._object("list", resource, params=query) or {}
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
                    raise self._refused("watch", resource, answer)
                with self._under_way(answer):
                    for line in answer.iter_lines():
                        yield event_of(line, resource)
        except httpx2.HTTPError as error:
            raise self._silent(error) from None

    @contextlib.contextmanager
    def log(self, pod: str, container: str, since: str = "") -> Iterator[Iterator[bytes]]:
        """Give what a container has written, each line after its moment, part by part.

        Nothing, where it is still being made.

        Args:
            pod: The pod.
            container: Its container.
            since: Leave out what is older than this moment, RFC 3339; all unless given.
        """
        path = f"api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        query = {"container": container, "timestamps": "true"}
        asked = query | ({"sinceTime": since} if since else {})
        try:
            with self._http.stream("GET", path, params=asked) as answer:
                if answer.is_error:
                    answer.read()
                    if WAITS not in answer.text:
                        raise self._refused("get", LOGS, answer)
                    yield iter(())
                else:
                    yield answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise self._silent(error) from None

    def version(self) -> str:
        """Ask the server for its version."""
        found = self._read(self._send("GET", "version"), Asked("get", None, "the version"))
        return str(found.get("gitVersion", "unknown version"))

    def serves(self, resource: Resource) -> bool:
        """Ask whether the server knows a kind of object."""
        answer = self._send("GET", resource.root)
        if answer.status_code == NOT_FOUND:
            return False
        found = self._read(answer, Asked("get", None, resource.root))
        return any(one.get("name") == resource.plural for one in found.get("resources", []))

    def may(self, verb: str, resource: Resource) -> bool:
        """Ask whether this client may do something in its namespace."""
        attributes = {"namespace": self.namespace, "verb": verb, "group": resource.group}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, "resource": resource.plural}},
        }
        path = "apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._send("POST", path, json=review)
        if answer.status_code == NOT_FOUND:
            return True
        found = self._read(answer, Asked("create", None, "a review of rights"))
        return bool(found.get("status", {}).get("allowed", True))

    def _path(self, resource: Resource, name: str = "") -> str:
        path = f"{resource.root}/namespaces/{self.namespace}/{resource.plural}"
        return f"{path}/{name}" if name else path

    def _object(
        self,
        verb: str,
        resource: Resource,
        name: str = "",
        *,
        absent: int = 0,
        **rest: Any,  # noqa: ANN401 - passed on
    ) -> Object | None:
        answer = self._send(METHODS[verb], self._path(resource, name), **rest)
        if answer.status_code == absent and is_about_name(answer):
            return None
        return self._read(answer, Asked(verb, resource, self.namespace))

    def _read(self, answer: httpx2.Response, asked: Asked) -> Object:
        if answer.is_error:
            raise refusal(asked, answer, self.server)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CoalmineError(
                f"{self.server} is no API server of Kubernetes",
                fix="see what the kubeconfig names, and what stands before it",
            )
        return found

    def _refused(self, verb: str, resource: Resource, answer: httpx2.Response) -> CoalmineError:
        return refusal(Asked(verb, resource, self.namespace), answer, self.server)

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
