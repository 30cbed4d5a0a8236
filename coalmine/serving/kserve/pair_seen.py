"""What the cluster says of an InferenceService of KFServing's ``v1alpha2``. Pure.

There a service is a pair: ``spec.default``, ``spec.canary`` and ``spec.canaryTrafficPercent``. Each
half is a Knative Service of its own behind one VirtualService. Fields and conditions are those of
kfserving 0.4, ``pkg/apis/serving/v1alpha2``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.serving.kserve.seen import image_of_revision
from coalmine.serving.kube.client import Object

__all__ = ["DEFAULT_IMAGE", "Pair"]

DEFAULT_IMAGE = "/spec/default/predictor/custom/container/image"


@dataclass(frozen=True, slots=True)
class Pair:
    """One look.

    Attributes:
        service: The InferenceService; None where there is none.
        revisions: The Knative revisions that its status names, by name.
        ready: The revision that each half's Knative Service serves with: the newest that ever was
            ready. KFServing's own status names the newest, ready or not.
    """

    service: Object | None
    revisions: Mapping[str, Object] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata; empty where there is no InferenceService."""
        return (self.service or {}).get("metadata") or {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec."""
        return (self.service or {}).get("spec") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """The status."""
        return (self.service or {}).get("status") or {}

    @property
    def percent(self) -> int:
        """The canary's share that is asked for."""
        return int(self.spec.get("canaryTrafficPercent") or 0)

    @property
    def canary_traffic(self) -> int:
        """The canary's share that is routed; the status leaves a 0 out."""
        return int(self.status.get("canaryTraffic") or 0)

    @property
    def split(self) -> dict[str, int]:
        """What is routed: percent by revision, without those that get nothing."""
        shares = {
            self.ready.get("default", ""): int(self.status.get("traffic") or 0),
            self.ready.get("canary", ""): self.canary_traffic,
        }
        return {name: share for name, share in shares.items() if name and share}

    def image(self, half: str) -> str:
        """Tell the image that is asked for in ``default`` or ``canary``; empty where none is."""
        predictor = (self.spec.get(half) or {}).get("predictor") or {}
        container = (predictor.get("custom") or {}).get("container") or {}
        return str(container.get("image", ""))

    def revision(self, half: str) -> str:
        """Name a half's newest revision; empty where there is none."""
        return str(((self.status.get(half) or {}).get("predictor") or {}).get("name") or "")

    def is_up(self, half: str, image: str) -> bool:
        """Tell whether a half's newest revision has an image and is ready."""
        revision = self.revisions.get(self.revision(half))
        if image_of_revision(revision) != image:
            return False
        return _condition((revision or {}).get("status"), "Ready").get("status") == "True"

    @property
    def is_routed(self) -> bool:
        """Whether the routes are as the spec asks."""
        return _condition(self.status, "RoutesReady").get("status") == "True"

    def trouble(self, half: str) -> str:
        """Tell what is wrong with a half's newest revision for good; empty if nothing is."""
        revision = self.revisions.get(self.revision(half)) or {}
        condition = _condition(revision.get("status"), "Ready")
        if condition.get("status") != "False":
            return ""
        return f"{condition.get('reason')}: {condition.get('message')}"

    def rest(self) -> str:
        """Tell all that is no release's, as a digest."""
        spec = json.loads(json.dumps(self.spec))
        for ours in ("canary", "canaryTrafficPercent"):
            spec.pop(ours, None)
        predictor = (spec.get("default") or {}).get("predictor") or {}
        ((predictor.get("custom") or {}).get("container") or {}).pop("image", None)
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _condition(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any]:
    conditions = (status or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})
