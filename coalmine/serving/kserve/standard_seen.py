"""What the cluster says of an InferenceService in Standard mode with ``spec.canary``. Pure.

Its status tells that a canary is ready and what percent was asked for it, never what is routed. So
the route itself is read: the HTTPRoute that KServe makes, or the Ingress, which has no weights. On
KServe 0.20 neither leads to a canary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.serving.gateway.rules import backends
from coalmine.serving.kube.client import Object

__all__ = ["IMAGE", "NAME", "Standard"]

IMAGE = "/spec/predictor/model/image"
NAME = "/spec/predictor/name"


@dataclass(frozen=True, slots=True)
class Standard:
    """One look.

    Attributes:
        service: The InferenceService; None where there is none.
        route: Its HTTPRoute; None where there is none.
        ingress: Its Ingress; None where there is none.
    """

    service: Object | None
    route: Object | None = None
    ingress: Object | None = None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata; empty where there is no InferenceService."""
        return (self.service or {}).get("metadata") or {}

    @property
    def predictor(self) -> Mapping[str, Any]:
        """``spec.predictor``: the stable version."""
        return ((self.service or {}).get("spec") or {}).get("predictor") or {}

    @property
    def image(self) -> str:
        """The stable version's image; empty where its predictor names none."""
        return str((self.predictor.get("model") or {}).get("image") or "")

    @property
    def name(self) -> str:
        """The stable predictor's own name; empty where it has none."""
        return str(self.predictor.get("name") or "")

    @property
    def canaries(self) -> list[dict[str, Any]]:
        """``spec.canary``."""
        return list(((self.service or {}).get("spec") or {}).get("canary") or [])

    @property
    def split(self) -> dict[str, int]:
        """What is routed: percent by the Service of each predictor."""
        if self.route is not None:
            return backends((self.route.get("spec") or {}).get("rules") or [])
        for rule in ((self.ingress or {}).get("spec") or {}).get("rules") or []:
            for path in (rule.get("http") or {}).get("paths") or []:
                return {str(path["backend"]["service"]["name"]): 100}
        return {}

    @property
    def is_ready(self) -> bool:
        """Whether the InferenceService says that it is ready."""
        conditions = ((self.service or {}).get("status") or {}).get("conditions") or []
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    def service_of(self, name: str) -> str:
        """Name the Service and the Deployment of the predictor of a name; an empty one has none."""
        base = str(self.metadata.get("name"))
        return f"{base}-{name}-predictor" if name else f"{base}-predictor"

    def is_up(self, canary: str) -> bool:
        """Whether the canary of a name is ready."""
        statuses = ((self.service or {}).get("status") or {}).get("canaryStatuses") or []
        return any(one.get("name") == canary and one.get("ready") is True for one in statuses)

    def rest(self) -> str:
        """Tell all that is no release's, as a digest."""
        spec = json.loads(json.dumps((self.service or {}).get("spec") or {}))
        spec.pop("canary", None)
        predictor = spec.get("predictor") or {}
        predictor.pop("name", None)
        (predictor.get("model") or {}).pop("image", None)
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
