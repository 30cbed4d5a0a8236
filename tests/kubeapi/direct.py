"""The server without a socket: a client whose requests are carried out in the caller's thread.

For tests with thousands of requests; what a connection does is tested over a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

import httpx2
from starlette.requests import Request

from tests.kubeapi.app import App
from tests.kubeapi.faults import Faults, Reset
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import ApiError
from tests.kubeapi.store import Store

__all__ = ["direct_api", "direct_client"]


def direct_api() -> KubeApi:
    """Make a server that listens nowhere."""
    return KubeApi("http://kubernetes.test", App(Store(), Faults()))


def direct_client(api: KubeApi) -> httpx2.Client:
    """Make a client of it, with as much of a client as `Kube` uses."""
    return cast("httpx2.Client", _Client(api))


class _Client:
    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def close(self) -> None:
        """Nothing is open."""

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any,
        headers: Mapping[str, str],
    ) -> httpx2.Response:
        url = f"{path}?{urlencode(params)}" if params else path
        self._api.app.requests.append((method, url, json))
        fault = self._api.faults.take(method, url)
        if fault and fault.reset is Reset.BEFORE:
            raise httpx2.ReadError("reset by the test")
        try:
            if fault and fault.refusal:
                raise fault.refusal if isinstance(fault.refusal, ApiError) else fault.refusal()
            answer = self._api.app._route(_scoped(method, path, params, headers), json)
        except ApiError as refusal:
            return httpx2.Response(refusal.code, json=refusal.body, headers=refusal.headers)
        if fault and fault.reset is Reset.AFTER:
            raise httpx2.ReadError("reset by the test")
        return httpx2.Response(answer.status_code, content=bytes(answer.body))


def _scoped(
    method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str]
) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    return Request(scope | {"query_string": urlencode(params).encode()})
