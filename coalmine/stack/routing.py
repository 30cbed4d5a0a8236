"""What the proxy shall route: a small table. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

__all__ = ["Copied", "Routing", "mirror_of"]

MIRROR = "~mirror"
"""No revision's name has this character, so no revision is called like another one's mirror."""


def mirror_of(revision: str) -> str:
    """Name the cluster by which a revision gets copies of requests.

    It is one of its own, so that copies count in none of the revision's own metrics.
    """
    return revision + MIRROR


@dataclass(frozen=True, slots=True)
class Copied:
    """Requests of which a cluster gets a copy, whose answer is thrown away.

    Attributes:
        cluster: Who gets the copies.
        percent: Of how many of the requests, 1 to 100.
        methods: Of which requests; empty means of all.
    """

    cluster: str
    percent: int
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routing:
    """Every cluster and every route.

    Attributes:
        clusters: The port on loopback of every revision.
        routes: Of every service, the percent of its traffic by revision; they add up to 100.
        previews: Of a service, the revision that requests with a preview header go to, by the
            header's value.
        mirrors: Of a service, what is copied.
    """

    clusters: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    previews: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mirrors: Mapping[str, Copied] = field(default_factory=dict)

    def with_cluster(self, revision: str, port: int) -> Routing:
        """Add a revision, or change its port."""
        return replace(self, clusters={**self.clusters, revision: port})

    def without_cluster(self, revision: str) -> Routing:
        """Remove a revision; it must not be routed to."""
        return replace(self, clusters={k: v for k, v in self.clusters.items() if k != revision})

    def with_ports(self, ports: Mapping[str, int]) -> Routing:
        """Give revisions other ports."""
        known = {
            name: ports.get(name.removesuffix(MIRROR), port) for name, port in self.clusters.items()
        }
        return replace(self, clusters=known)

    def with_route(
        self,
        service: str,
        shares: Mapping[str, int],
        previews: Mapping[str, str] | None = None,
        copied: Copied | None = None,
    ) -> Routing:
        """Split a service's traffic; no shares, no route; no previews given, the same as before."""
        if previews is None:
            previews = self.previews.get(service, {})
        routes = {name: split for name, split in self.routes.items() if name != service}
        ahead = {name: each for name, each in self.previews.items() if name != service}
        mirrors = {name: each for name, each in self.mirrors.items() if name != service}
        if shares:
            routes[service] = dict(shares)
        if shares and previews:
            ahead[service] = dict(previews)
        if shares and copied:
            mirrors[service] = copied
        return replace(self, routes=routes, previews=ahead, mirrors=mirrors)

    def to_json(self) -> str:
        """Write the table."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Routing:
        """Read the table."""
        fields = json.loads(text)
        mirrors = {
            service: Copied(**{**each, "methods": tuple(each["methods"])})
            for service, each in fields.pop("mirrors", {}).items()
        }
        return cls(**fields, mirrors=mirrors)
