"""The Gateway API as a backend: what it sees, and what a release starts from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.gateway.decide import Decide, Way
from coalmine.serving.gateway.rules import backends
from coalmine.serving.gateway.seen import HTTP_ROUTE, SLICES, Seen
from coalmine.serving.gateway.workloads import (
    DEPLOYMENT,
    INFERENCE_SERVICE,
    OF_SERVICE,
    SERVICE,
    canary_of,
    image_of,
    port_of,
    workload_of,
)
from coalmine.serving.kube.client import Kube, Object, Resource
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Move
from coalmine.serving.protocol import ReleaseRecord, Share

__all__ = ["GatewayMoves"]

NAME = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?")
"""Of a revision; its Service's may be ten longer, and 63 is all that a name may have."""


class GatewayMoves:
    """See `Moves`.

    Args:
        way: How canaries get their traffic.
        now: The time, UTC.
    """

    def __init__(
        self, way: Way, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._way, self._now = way, now

    def look(self, kube: Kube, service: str) -> Seen:
        """Read the route, the workloads that releases made, and those that the route leads to."""
        route = kube.get(HTTP_ROUTE, service)
        rules = ((route or {}).get("spec") or {}).get("rules") or []
        routed = {ref["name"] for rule in rules for ref in rule.get("backendRefs") or []}
        ours = f"{OF_SERVICE}={service}"
        workloads: dict[str, Object] = {}
        for resource in (DEPLOYMENT, INFERENCE_SERVICE):
            kind = workload_of(resource.kind)
            others = {kind.revision(name) for name in routed} - workloads.keys()
            workloads |= _found(kube, resource, ours, others)
        names = {workload_of(item["kind"]).service(name) for name, item in workloads.items()}
        services = _found(kube, SERVICE, ours, routed | names)
        return Seen(
            now=self._now(),
            route=route,
            workloads=workloads,
            services=services,
            ready={name: _ready(kube, name) for name in sorted(services)},
        )

    def begin(self, seen: Seen, record: ReleaseRecord, previous: Kept | None) -> Kept:  # noqa: ARG002
        """Tell what a release starts from; see `Moves.begin`."""
        canary = _revision(record)
        if seen.route is None:
            return self._first(replace(record, canary=canary, percent=100))
        split = backends(seen.rules)
        if len(split) != 1:
            raise CoalmineError(
                f"the HTTPRoute {record.service} has a split that no release owns: {split}",
                fix="leave one backend with all the weight, by hand",
            )
        (backend,) = split
        source = self._source(seen, backend)
        kind = workload_of(source["kind"])
        stable = kind.revision(backend)
        if stable in seen.workloads and image_of(source) == record.canary_image:
            raise InputError(
                f"{record.service} is set to this image already, so there is nothing to try",
                field="image",
                fix="release another version",
            )
        notes = {
            "kind": kind.resource.kind,
            "leads_to": backend,
            "port": str(port_of(source)),
            "rules": json.dumps(seen.rules),
        }
        notes |= {"preview": self._way.preview}
        if mirror := self._way.mirror:
            methods, hold = ",".join(mirror.methods), f"{mirror.hold.total_seconds():g}"
            notes |= {"mirror": str(mirror.percent), "methods": methods, "hold": hold}
        return Kept(replace(record, canary=canary, stable=stable)).noted(**notes)

    def next(self, seen: Seen, kept: Kept) -> Move:
        """Tell the next move; see `Decide`."""
        return Decide(seen, kept, self._way).move()

    def shares(self, seen: Seen) -> tuple[Share, ...]:
        """Tell what is routed, as the Gateways have said that they have it."""
        return tuple(
            Share(_revision_of(seen, name), "", percent, bool(seen.ready.get(name)))
            for name, percent in seen.split.items()
        )

    def url(self, seen: Seen) -> str:
        """Tell where users call the service: the route's first host name."""
        hosts = ((seen.route or {}).get("spec") or {}).get("hostnames") or []
        return f"http://{hosts[0]}" if hosts else ""

    def _first(self, record: ReleaseRecord) -> Kept:
        template = self._way.template
        if template is None:
            raise InputError(
                f"there is no HTTPRoute {record.service} and no template to make one from",
                field="template",
                fix="give the file with COALMINE_TEMPLATE, or apply the service yourself",
            )
        template.filled_route(record.service, record.canary, {})
        canary_of(template.workload, revision=record.canary, record=record)
        return Kept(record, {"kind": str(template.workload["kind"])})

    def _source(self, seen: Seen, backend: str) -> Object:
        for kind in (INFERENCE_SERVICE, DEPLOYMENT):
            name = workload_of(kind.kind).revision(backend)
            found = seen.workloads.get(name)
            if found and found["kind"] == kind.kind:
                return found
        if self._way.template is None:
            raise InputError(
                f"behind the backend {backend} there is no Deployment or InferenceService of "
                "that name to make a canary like",
                field="template",
                fix="give the file with COALMINE_TEMPLATE",
            )
        return self._way.template.workload


def _found(kube: Kube, resource: Resource, ours: str, names: set[str]) -> dict[str, Object]:
    """Read what releases have made, and whatever else has one of these names."""
    # Objects in a list do not carry their kind.
    kind = {"apiVersion": resource.api, "kind": resource.kind}
    found = {item["metadata"]["name"]: kind | item for item in kube.list(resource, ours)}
    for name in sorted(names - found.keys()):
        if item := kube.get(resource, name):
            found[name] = item
    return found


def _ready(kube: Kube, service: str) -> int:
    slices = kube.list(SLICES, f"kubernetes.io/service-name={service}")
    return sum(
        1
        for one in slices
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True)
    )


def _revision_of(seen: Seen, service: str) -> str:
    for name, item in seen.workloads.items():
        if workload_of(item["kind"]).service(name) == service:
            return name
    return service


def _revision(record: ReleaseRecord) -> str:
    name = f"{record.service}-{record.release_id}".lower().replace("_", "-")
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name} is no name for a workload",
            field="release_id",
            fix="keep service and release id below 53 characters together",
        )
    return name
