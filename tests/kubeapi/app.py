"""The server's HTTP: paths, verbs, watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.kubeapi.discovery import discovery
from tests.kubeapi.faults import Fault, Faults, Reset
from tests.kubeapi.kinds import Kind, kind_at
from tests.kubeapi.patches import json_patch, merge_patch
from tests.kubeapi.podlogs import Written, log_text
from tests.kubeapi.selectors import selector
from tests.kubeapi.status import (
    ApiError,
    bad_request,
    conflict,
    not_found,
    unsupported_media_type,
)
from tests.kubeapi.store import Change, Object, Store

__all__ = ["App", "Target"]


class Target:
    """What a path names.

    Attributes:
        kind: The kind of object.
        namespace: Empty for all namespaces, or a cluster-scoped kind.
        name: Empty for the collection.
        subresource: ``status``, ``log`` or empty.
    """

    def __init__(self, kind: Kind, namespace: str, name: str, subresource: str) -> None:
        self.kind, self.namespace, self.name = kind, namespace, name
        self.subresource = subresource


def _target(path: str) -> Target | None:
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"]:
        group, version, rest = "", parts[1:2], parts[2:]
    elif parts[:1] == ["apis"]:
        group, version, rest = "".join(parts[1:2]), parts[2:3], parts[3:]
    else:
        return None
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = kind_at(group, "".join(version), rest[0]) if rest else None
    if kind is None:
        return None
    return Target(kind, namespace, "".join(rest[1:2]), "/".join(rest[2:]))


class App:
    """The ASGI application.

    Attributes:
        logs: What ``pods/NAME/log`` gives, by (namespace, pod, container).
        log_bytes: How many bytes of logs were given.
        gone: Pods that were removed, by (namespace, pod).
        pods: What ``pods/NAME:PORT/proxy/PATH`` answers: from the pod's name, the method, the path
            and the body, a status code and a text.
        requests: Every request so far: method, path with query, body.
        token: Where set, the bearer token that each request must carry.
        denied: Verbs that an access review says the caller may not do.
        absent: API groups whose kinds are not installed.
        bookmark_every: Seconds between bookmarks, where a watch allows them.
        epoch: A watch ends when it is another than it began in, as soon as it wakes.
    """

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self.logs: dict[tuple[str, str, str], Written] = {}
        self.log_bytes = 0
        self.gone: set[tuple[str, str]] = set()
        self.pods: Callable[[str, str, str, Any], tuple[int, str]] = _no_pod
        self.requests: list[tuple[str, str, Any]] = []
        self.token = ""
        self.denied: set[str] = set()
        self.absent: set[str] = set()
        self.bookmark_every = 1.0
        self.epoch = 0
        self.closing = asyncio.Event()
        self._changed: list[asyncio.Event] = []

    def changed(self) -> None:
        """Wake the watches; called in the server's thread."""
        for event in self._changed:
            event.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ConnectionAbortedError:
            receive.__self__.transport.abort()  # type: ignore[attr-defined]
            return
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        body = await _body(request)
        self.requests.append((request.method, url, body))
        fault = self.faults.take(request.method, url)
        try:
            await _before(fault)
            self._authenticate(request)
            response = self._route(request, body)
        except ApiError as refusal:
            return JSONResponse(refusal.body, refusal.code, refusal.headers)
        if fault and fault.reset is Reset.AFTER:
            raise ConnectionAbortedError
        return response

    def _authenticate(self, request: Request) -> None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
            raise ApiError(
                {**body, "message": "Unauthorized", "reason": "Unauthorized", "code": 401}
            )

    def _route(self, request: Request, body: Any) -> Response:
        if request.url.path.endswith("/selfsubjectaccessreviews"):
            verb = body["spec"]["resourceAttributes"]["verb"]
            return JSONResponse({**body, "status": {"allowed": verb not in self.denied}}, 201)
        target = _target(request.url.path)
        if any(request.url.path.startswith(f"/apis/{group}/") for group in self.absent):
            return PlainTextResponse("404 page not found\n", 404)
        if target is None:
            found = discovery(request.url.path)
            return found or PlainTextResponse("404 page not found\n", 404)
        if target.subresource.startswith("proxy/"):
            pod, path = target.name.partition(":")[0], target.subresource.removeprefix("proxy")
            code, text = self.pods(pod, request.method, path, body)
            return PlainTextResponse(text, code)
        verbs: dict[str, Callable[[Request, Target, Any], Response]] = {
            "GET": self._get,
            "POST": self._create,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        return verbs[request.method](request, target, body)

    def _get(self, request: Request, target: Target, _body: Any) -> Response:
        query = request.query_params
        if target.subresource == "log":
            return self._log(target, query)
        if target.name:
            return JSONResponse(self.store.get(target.kind, target.namespace, target.name))
        if query.get("watch") in {"1", "true"}:
            return StreamingResponse(self._watch(request, target), media_type="application/json")
        items, version = self.store.list(target.kind, target.namespace)
        matches = selector(query)
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        found = [item for item in items if matches(item)]
        if limit := int(query.get("limit", "0")):
            first = _continued(query.get("continue", ""))
            if first + limit < len(found):
                metadata["continue"] = str(first + limit)
            found = found[first : first + limit]
        kind = {"apiVersion": target.kind.api_version, "kind": f"{target.kind.kind}List"}
        return JSONResponse({**kind, "metadata": metadata, "items": found})

    def _log(self, target: Target, query: QueryParams) -> Response:
        if (target.namespace, target.name) in self.gone:
            raise not_found(target.kind, target.name)
        key = (target.namespace, target.name, query.get("container", ""))
        body = log_text(self.logs.get(key, ""), query)
        self.log_bytes += len(body)
        return PlainTextResponse(body)

    def _create(self, request: Request, target: Target, body: Any) -> Response:
        if target.name:
            return PlainTextResponse("405 method not allowed\n", 405)
        if not isinstance(body, dict):
            raise bad_request("the object provided is unrecognized (must be JSON)")
        named = {"apiVersion": target.kind.api_version, "kind": target.kind.kind}
        made = self.store.create(
            named | body, target.namespace, manager=_manager(request), dry_run=_dry(request)
        )
        return JSONResponse(made, 201)

    def _replace(self, request: Request, target: Target, body: Any) -> Response:
        return self._update(request, target, lambda _: body)

    def _patch(self, request: Request, target: Target, body: Any) -> Response:
        form = request.headers.get("content-type", "").partition(";")[0]
        if form == "application/json-patch+json":
            return self._update(request, target, lambda now: json_patch(now, body))
        if form == "application/merge-patch+json":
            return self._update(request, target, lambda now: merge_patch(now, body))
        raise unsupported_media_type()

    def _update(
        self, request: Request, target: Target, change: Callable[[Object], Object]
    ) -> Response:
        after = self.store.update(
            target.kind,
            target.namespace,
            target.name,
            change,
            subresource=target.subresource,
            manager=_manager(request),
            dry_run=_dry(request),
        )
        return JSONResponse(after)

    def _delete(self, request: Request, target: Target, body: Any) -> Response:
        wanted = (body or {}).get("preconditions", {}) if isinstance(body, dict) else {}
        with self.store.locked():
            now = self.store.get(target.kind, target.namespace, target.name)["metadata"]
            if any(now.get(key) != value for key, value in wanted.items()):
                raise conflict(target.kind, target.name)
            gone = self.store.delete(
                target.kind, target.namespace, target.name, dry_run=_dry(request)
            )
        return JSONResponse(gone)

    async def _watch(self, request: Request, target: Target) -> AsyncIterator[bytes]:
        matches = selector(request.query_params)
        event = asyncio.Event()
        self._changed.append(event)
        try:
            async for line in self._events(request, target, matches, event):
                yield json.dumps(line).encode() + b"\n"
        except ApiError as refusal:
            yield json.dumps({"type": "ERROR", "object": refusal.body}).encode() + b"\n"
        finally:
            self._changed.remove(event)

    async def _events(
        self,
        request: Request,
        target: Target,
        matches: Callable[[Object], bool],
        event: asyncio.Event,
    ) -> AsyncIterator[Object]:
        query = request.query_params
        seen = int(query.get("resourceVersion") or 0)
        if not seen:
            items, seen = self.store.list(target.kind, target.namespace)
            for item in filter(matches, items):
                yield {"type": "ADDED", "object": item}
        ends = asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", "300"))
        bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        epoch = self.epoch
        while (left := ends - asyncio.get_running_loop().time()) > 0 and epoch == self.epoch:
            if self.closing.is_set():
                return
            event.clear()
            for change in self.store.since(seen):
                seen = change.version
                for line in _seen(change, target, matches):
                    yield line
            if not await _woken(event, min(self.bookmark_every, left)) and bookmarks:
                yield {"type": "BOOKMARK", "object": _bookmark(target.kind, seen)}


def _no_pod(pod: str, _method: str, _path: str, _body: Any) -> tuple[int, str]:
    return 503, f"error trying to reach service: no pod {pod}"


async def _woken(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _seen(change: Change, target: Target, matches: Callable[[Object], bool]) -> list[Object]:
    """What a watch with a selector sees of a change."""
    if change.kind != target.kind or target.namespace not in {"", change.namespace}:
        return []
    now = change.type != "DELETED" and matches(change.object)
    before = change.before is not None and matches(change.before)
    if now:
        return [{"type": "MODIFIED" if before else "ADDED", "object": change.object}]
    return [{"type": "DELETED", "object": change.object}] if before else []


def _bookmark(kind: Kind, version: int) -> Object:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def _continued(token: str) -> int:
    if token and not token.isdecimal():
        raise bad_request("invalid continue token: continue key is not valid")
    return int(token or 0)


def _manager(request: Request) -> str:
    agent = request.headers.get("user-agent", "unknown").partition("/")[0]
    return request.query_params.get("fieldManager") or agent


def _dry(request: Request) -> bool:
    return request.query_params.get("dryRun") == "All"


async def _body(request: Request) -> Any:
    raw = await request.body()
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


async def _before(fault: Fault | None) -> None:
    if fault is None:
        return
    if fault.hold:
        await asyncio.to_thread(fault.hold.wait, 30)
    if fault.reset is Reset.BEFORE:
        raise ConnectionAbortedError
    if fault.refusal:
        raise fault.refusal if isinstance(fault.refusal, ApiError) else fault.refusal()
