"""What an HTTPRoute may hold: the part of the Gateway API's schema (v1, 1.3) that releases use.

Written by hand from gateway-api.sigs.k8s.io, "API specification"; every object is closed, so a
field that is not named here is a fault.
"""

from __future__ import annotations

from typing import Any

__all__ = ["HTTP_ROUTE_SPEC"]

Schema = dict[str, Any]
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
HEADER = {"type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$", "maxLength": 256}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


def closed(required: tuple[str, ...] = (), /, **properties: Any) -> Schema:
    whole = {"type": "object", "properties": properties, "required": list(required)}
    return whole | {"additionalProperties": False}


def several(items: Schema, most: int, *, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


TARGET = {"group": {"const": ""}, "kind": {"const": "Service"}, "name": NAME, "port": PORT}
WEIGHT = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
PERCENT = {"type": "integer", "minimum": 0, "maximum": 100}
MIRROR = closed(("backendRef",), backendRef=closed(("name", "port"), **TARGET), percent=PERCENT)
FILTER = closed(("type", "requestMirror"), type={"const": "RequestMirror"}, requestMirror=MIRROR)
MATCHED = closed(
    ("name", "value"),
    type={"enum": ["Exact", "RegularExpression"]},
    name=HEADER,
    value={"type": "string", "minLength": 1, "maxLength": 4096},
)
PATH = closed(
    type={"enum": ["Exact", "PathPrefix", "RegularExpression"]},
    value={"type": "string", "pattern": "^/", "maxLength": 1024},
)
MATCH = closed(path=PATH, headers=several(MATCHED, 16), method={"enum": METHODS})
RULE = closed(
    name=NAME,
    matches=several(MATCH, 64),
    filters=several(FILTER, 16),
    backendRefs=several(closed(("name", "port"), **TARGET, weight=WEIGHT), 16),
)
HTTP_ROUTE_SPEC = closed(
    ("parentRefs",),
    parentRefs=several(closed(("name",), name=NAME), 32, least=1),
    hostnames=several({"type": "string", "pattern": "^(\\*\\.)?[a-z0-9.-]+$"}, 16),
    rules=several(RULE, 16, least=1),
)
