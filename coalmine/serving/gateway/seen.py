"""What the cluster says of a service behind an HTTPRoute. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coalmine.serving.gateway.rules import backends
from coalmine.serving.kube.client import Object, Resource

__all__ = ["HTTP_ROUTE", "SLICES", "Seen"]

HTTP_ROUTE = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")
SLICES = Resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
REFUSALS = frozenset({"Accepted", "ResolvedRefs"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One look.

    Attributes:
        now: When.
        route: The HTTPRoute; None where there is none.
        workloads: Deployments and InferenceServices by their names.
        services: Services by their names.
        ready: How many endpoints of each Service are ready.
    """

    now: datetime
    route: Object | None = None
    workloads: Mapping[str, Object] = field(default_factory=dict)
    services: Mapping[str, Object] = field(default_factory=dict)
    ready: Mapping[str, int] = field(default_factory=dict)

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules that are asked for."""
        return list(((self.route or {}).get("spec") or {}).get("rules") or [])

    @property
    def split(self) -> dict[str, int]:
        """Percent by Service, once every Gateway says that it has the route as it stands."""
        return {} if self.route is None or self.pending() else backends(self.rules)

    def pending(self) -> str:
        """Tell which Gateway does not have the route as it stands yet; empty if all have it."""
        if self.route is None:
            return "there is no HTTPRoute"
        wanted = [ref.get("name") for ref in self.route["spec"].get("parentRefs") or []]
        have = [parent["parentRef"].get("name") for parent in self._parents() if self._has(parent)]
        late = sorted({str(name) for name in wanted if name not in have})
        named = ", ".join(late) if wanted else "any: the route names none"
        return "" if wanted and not late else f"the HTTPRoute is not taken by the Gateway {named}"

    def refusal(self) -> str:
        """Tell why a Gateway refuses the route as it stands; empty if none does."""
        for parent in self._parents():
            for condition in self._conditions(parent):
                if condition.get("status") == "False" and condition.get("type") in REFUSALS:
                    name = parent["parentRef"].get("name")
                    told = f"{condition.get('reason')}: {condition.get('message')}"
                    return f"the Gateway {name} refuses the HTTPRoute: {told}"
        return ""

    def _parents(self) -> list[dict[str, Any]]:
        return ((self.route or {}).get("status") or {}).get("parents") or []

    def _conditions(self, parent: Mapping[str, Any]) -> list[dict[str, Any]]:
        generation = (self.route or {}).get("metadata", {}).get("generation")
        found = parent.get("conditions") or []
        return [one for one in found if one.get("observedGeneration") == generation]

    def _has(self, parent: Mapping[str, Any]) -> bool:
        said = {one.get("type"): one.get("status") for one in self._conditions(parent)}
        return said.get("Accepted") == "True" and said.get("ResolvedRefs") == "True"
