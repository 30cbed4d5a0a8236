"""The routing table as Envoy reads it, and what Envoy says that it routes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coalmine.stack.ports import HOST
from coalmine.stack.routing import Copied, Routing

__all__ = [
    "PREVIEW_HEADER",
    "REVISION_HEADER",
    "clusters_of",
    "copies_of",
    "routes_of",
    "shares_of",
]

REVISION_HEADER = "x-coalmine-revision"
PREVIEW_HEADER = "x-coalmine-preview"
ROUTE_TIMEOUT = "60s"
"""How long one request may take; BentoML's own default."""
IDLE_TIMEOUT = "3s"
"""Below the 5 s after which uvicorn closes an idle connection: else a request that is sent in that
very moment fails with 503."""
CONNECTIONS = 10_000
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters_of(routing: Routing) -> str:
    """Write the clusters as Envoy's discovery response, in JSON."""
    return _response([_cluster(name, port) for name, port in sorted(routing.clusters.items())])


def routes_of(routing: Routing) -> str:
    """Write the routes as Envoy's discovery response, in JSON."""
    routes = [
        route
        for service, shares in sorted(routing.routes.items())
        for route in [
            *_previews(service, routing.previews.get(service, {})),
            *_mirrored(service, shares, routing.mirrors.get(service)),
        ]
    ]
    host = {"name": "services", "domains": ["*"], "routes": [*routes, _nothing_here()]}
    return _response(
        [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": "services",
                "virtual_hosts": [host],
                # A route to a cluster that is not there would be served as 503: refuse it.
                "validate_clusters": True,
            }
        ]
    )


def shares_of(config_dump: Mapping[str, Any], service: str) -> dict[str, int]:
    """Read from Envoy's own configuration dump how a service is split; empty if it has no route.

    Args:
        config_dump: The answer to ``/config_dump?resource=dynamic_route_configs``.
        service: The service.
    """
    for route in _dumped_routes(config_dump):
        match = route.get("match", {})
        if match.get("prefix") == f"/{service}/" and "headers" not in match:
            clusters = route["route"]["weighted_clusters"]["clusters"]
            return {entry["name"]: int(entry["weight"]) for entry in clusters}
    return {}


def copies_of(config_dump: Mapping[str, Any], service: str) -> str:
    """Read from Envoy's own configuration dump which cluster gets copies; empty if none does.

    Args:
        config_dump: The answer to ``/config_dump?resource=dynamic_route_configs``.
        service: The service.
    """
    for route in _dumped_routes(config_dump):
        if route.get("match", {}).get("prefix") == f"/{service}/":
            for policy in route["route"].get("request_mirror_policies", []):
                return str(policy["cluster"])
    return ""


def _dumped_routes(config_dump: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        route
        for entry in config_dump.get("configs", [])
        for host in entry.get("route_config", {}).get("virtual_hosts", [])
        for route in host.get("routes", [])
    ]


def _response(resources: list[dict[str, Any]]) -> str:
    return json.dumps({"resources": resources}, indent=1) + "\n"


def _cluster(revision: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": HOST, "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), CONNECTIONS)
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": revision,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": revision, "endpoints": endpoints},
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": IDLE_TIMEOUT},
            }
        },
    }


def _routes(service: str, shares: Mapping[str, int]) -> list[dict[str, Any]]:
    action = {
        "weighted_clusters": {
            "clusters": [_weighted(revision, shares[revision]) for revision in sorted(shares)]
        },
        "timeout": ROUTE_TIMEOUT,
        "prefix_rewrite": "/",
        # No retries: they would answer for a bad canary with the stable version.
    }
    matches = ({"prefix": f"/{service}/"}, {"path": f"/{service}"})
    return [{"match": match, "route": action} for match in matches]


def _previews(service: str, previews: Mapping[str, str]) -> list[dict[str, Any]]:
    """Lead requests with the preview header to one revision, ahead of the split."""
    return [
        {**route, "match": {**route["match"], "headers": [_is(PREVIEW_HEADER, value)]}}
        for value, revision in sorted(previews.items())
        for route in _routes(service, {revision: 100})
    ]


def _mirrored(
    service: str, shares: Mapping[str, int], copied: Copied | None
) -> list[dict[str, Any]]:
    """Route, and copy what shall be copied; what shall not be is matched by the plain route."""
    plain = _routes(service, shares)
    if copied is None:
        return plain
    fraction = {"numerator": copied.percent, "denominator": "HUNDRED"}
    policy = {"cluster": copied.cluster, "runtime_fraction": {"default_value": fraction}}
    copying = [
        {**route, "route": {**route["route"], "request_mirror_policies": [policy]}}
        for route in plain
    ]
    if not copied.methods:
        return copying
    method = {
        "name": ":method",
        "string_match": {"safe_regex": {"regex": "|".join(copied.methods)}},
    }
    ahead = [{**route, "match": {**route["match"], "headers": [method]}} for route in copying]
    return [*ahead, *plain]


def _is(header: str, value: str) -> dict[str, Any]:
    return {"name": header, "string_match": {"exact": value}}


def _weighted(revision: str, percent: int) -> dict[str, Any]:
    header = {"header": {"key": REVISION_HEADER, "value": revision}}
    action = {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "name": revision,
        "weight": percent,
        "response_headers_to_add": [{**header, **action}],
    }


def _nothing_here() -> dict[str, Any]:
    body = {"inline_string": "no service is routed here\n"}
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": body}}
