"""What clients ask to learn which kinds there are."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from tests.kubeapi.kinds import KINDS, Kind

__all__ = ["discovery"]

Object = dict[str, Any]


def discovery(path: str) -> Response | None:
    """Answer what clients ask to learn which kinds there are."""
    if path == "/version":
        return JSONResponse({"major": "1", "minor": "36", "gitVersion": "v1.36.2"})
    if path == "/api":
        return JSONResponse({"kind": "APIVersions", "versions": ["v1"]})
    if path == "/apis":
        return JSONResponse(
            {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in _groups()]}
        )
    wanted = path.removeprefix("/apis/").removeprefix("/api/")
    found = [_resource(kind) for kind in KINDS if kind.api_version == wanted]
    if not found:
        return None
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": wanted}
    return JSONResponse({**head, "resources": found})


def _groups() -> list[str]:
    return sorted({kind.group for kind in KINDS if kind.group})


def _group(name: str) -> Object:
    versions = sorted({kind.version for kind in KINDS if kind.group == name}, reverse=True)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: Kind) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    named = {"name": kind.plural, "singularName": kind.kind.lower(), "kind": kind.kind}
    return {**named, "namespaced": kind.namespaced, "verbs": verbs}
