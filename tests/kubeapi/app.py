"""The server's HTTP: paths, verbs, watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.kubeapi.discovery import discovery
from tests.kubeapi.faults import Fault, Faults, Reset
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
from tests.kubeapi.store import Object, Store
from tests.kubeapi.target import Target, target_of
from tests.kubeapi.watches import Watches

__all__ = ["App"]


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
        watches: Those that are open.
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
        self.watches = Watches(store)

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
        target = target_of(request.url.path)
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
            return StreamingResponse(
                self.watches.watch(request, target), media_type="application/json"
            )
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


def _no_pod(pod: str, _method: str, _path: str, _body: Any) -> tuple[int, str]:
    return 503, f"error trying to reach service: no pod {pod}"


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
