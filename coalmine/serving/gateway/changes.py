"""The writes of a release behind an HTTPRoute, as data. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.serving.gateway.rules import normal
from coalmine.serving.gateway.seen import HTTP_ROUTE
from coalmine.serving.kube.client import Change, Object, Resource
from coalmine.serving.kube.moves import Write, unmoved

__all__ = ["create", "remove", "reroute", "text_of"]


def create(resource: Resource, namespace: str, body: Object, what: str) -> Write:
    """Make an object."""
    return Write(Change("POST", resource.path(namespace), body, what))


def remove(resource: Resource, namespace: str, item: Object) -> Write:
    """Delete an object, and no other that has its name by then."""
    metadata = item["metadata"]
    path = resource.path(namespace, metadata["name"])
    body = {"preconditions": {"uid": metadata["uid"]}}
    return Write(Change("DELETE", path, body, f"remove {resource.kind} {metadata['name']}"))


def reroute(route: Object, namespace: str, wanted: str) -> Write:
    """Give a route other rules, unless it has moved on.

    Args:
        route: The HTTPRoute as it was seen.
        namespace: Where it is.
        wanted: The rules, as `text_of` writes them.
    """
    metadata = route["metadata"]
    operations = [
        unmoved(metadata),
        {"op": "replace", "path": "/spec/rules", "value": json.loads(wanted)},
    ]
    path = HTTP_ROUTE.path(namespace, metadata["name"])
    return Write(Change("PATCH", path, operations, "split the traffic"))


def text_of(rules: Sequence[Mapping[str, Any]]) -> str:
    """Write rules in the one way in which two lists of them can be compared."""
    return json.dumps(normal(rules), sort_keys=True, separators=(",", ":"))
