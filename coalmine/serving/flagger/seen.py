"""What the cluster says of a Deployment that Flagger drives. Pure.

Flagger's phases and what they mean are from its ``pkg/controller/scheduler.go`` and
``pkg/canary/status.go``. Three things there are not as they look:

* ``canaryWeight`` is set to 0 in ``WaitingPromotion``, while the canary still has its share.
* A ``Failed`` Canary copies the hash of whatever the Deployment has into ``lastAppliedSpec`` at
  every look, also before it begins to try it; only the condition ``Promoted`` tells runs apart.
* Where promotion itself fails, the phase is ``Failed`` and the canary has all traffic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.serving.flagger.analysis import STOP
from coalmine.serving.kube.client import Object

__all__ = [
    "ENDING",
    "RESTING",
    "TRYING",
    "Seen",
    "image_in",
    "last_writer",
    "primary_of",
    "rest_of",
    "selector_of",
    "slot_of",
]

RESTING = frozenset({"Initialized", "Succeeded", "Failed"})
"""No run is under way."""
TRYING = frozenset({"Progressing", "WaitingPromotion"})
"""A run is under way and not decided."""
ENDING = frozenset({"Promoting", "Finalising"})
"""A run has passed, and is being promoted."""
LISTS = ("containers", "initContainers")


@dataclass(frozen=True, slots=True)
class Seen:
    """One look.

    Attributes:
        service: The Deployment's name.
        installed: Whether the cluster knows Flagger's kinds.
        target: The Deployment; None where there is none.
        primary: Flagger's own copy of it that serves; None where there is none yet.
        canaries: Every Canary that targets the Deployment.
        templates: The MetricTemplates of the service, by name.
        halts: Why Flagger has halted last, in its own words; read only once it has failed.
    """

    service: str
    installed: bool = True
    target: Object | None = None
    primary: Object | None = None
    canaries: tuple[Object, ...] = ()
    templates: Mapping[str, Object] = field(default_factory=dict)
    halts: tuple[str, ...] = ()

    @property
    def canary(self) -> Object | None:
        """The Canary; None where there is none."""
        return self.canaries[0] if self.canaries else None

    @property
    def spec(self) -> Mapping[str, Any]:
        """The Canary's spec."""
        return (self.canary or {}).get("spec") or {}

    @property
    def analysis(self) -> Mapping[str, Any]:
        """The Canary's ``spec.analysis``."""
        return self.spec.get("analysis") or {}

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """What the Canary checks."""
        return list(self.analysis.get("metrics") or [])

    @property
    def status(self) -> Mapping[str, Any]:
        """The Canary's status."""
        return (self.canary or {}).get("status") or {}

    @property
    def phase(self) -> str:
        """Where Flagger is; empty before it has looked."""
        return str(self.status.get("phase") or "")

    @property
    def applied(self) -> str:
        """Flagger's hash of the pod template that it has taken up last."""
        return str(self.status.get("lastAppliedSpec") or "")

    @property
    def promoted(self) -> str:
        """Flagger's hash of the pod template that it has promoted last."""
        return str(self.status.get("lastPromotedSpec") or "")

    @property
    def failed_checks(self) -> int:
        """How many looks have failed in this run."""
        return int(self.status.get("failedChecks") or 0)

    @property
    def turn(self) -> str:
        """What tells one run from another: when the condition ``Promoted`` last turned."""
        for condition in self.status.get("conditions") or []:
            if condition.get("type") == "Promoted":
                return f"{condition.get('status')} {condition.get('lastTransitionTime')}"
        return ""

    @property
    def weight(self) -> int:
        """The canary's share, percent."""
        if self.phase == "WaitingPromotion":
            return _greatest(self.analysis)
        return int(self.status.get("canaryWeight") or 0)

    @property
    def has_share(self) -> bool:
        """Whether the canary gets traffic, or its analysis has begun without any (blue/green)."""
        begun = self.phase in TRYING and int(self.status.get("iterations") or 0) > 0
        return self.weight > 0 or begun or self.phase in ENDING | {"Succeeded", "WaitingPromotion"}

    @property
    def stop_at(self) -> int:
        """Where the check that ends a run stands among the metrics; -1 where it does not."""
        names = [metric.get("name") for metric in self.metrics]
        return names.index(STOP) if STOP in names else -1

    def said(self) -> str:
        """Tell what Flagger says of itself, for people."""
        told = f"phase {self.phase or 'none yet'}"
        for condition in self.status.get("conditions") or []:
            if condition.get("type") == "Promoted" and condition.get("message"):
                told = str(condition["message"]).rstrip(".")
        return f"{told} ({'; '.join(self.halts)})" if self.halts else told


def primary_of(service: str) -> str:
    """Name the copy of a Deployment that Flagger makes and that serves."""
    return f"{service}-primary"


def selector_of(deployment: Object | None) -> str:
    """Tell the label selector of a Deployment's pods; empty where there is none."""
    spec = (deployment or {}).get("spec") or {}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def slot_of(deployment: Object | None, container: str = "") -> tuple[str, int] | None:
    """Find a container: the list it stands in, and its place there; None where there is none.

    Args:
        deployment: The Deployment.
        container: Name of a container or an init container; empty means the first container.
    """
    pod = _pod(deployment)
    for kind in LISTS:
        for index, one in enumerate(pod.get(kind) or []):
            if one.get("name") == container or not container:
                return kind, index
    return None


def image_in(deployment: Object | None, container: str) -> str:
    """Tell a container's image; empty where there is none."""
    slot = slot_of(deployment, container)
    return str(_pod(deployment)[slot[0]][slot[1]].get("image", "")) if slot else ""


def rest_of(deployment: Object | None, container: str) -> str:
    """Tell all of a pod template but that image, as a digest: what a release must not change."""
    template = json.loads(json.dumps(((deployment or {}).get("spec") or {}).get("template") or {}))
    if slot := slot_of(deployment, container):
        template["spec"][slot[0]][slot[1]].pop("image", None)
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def last_writer(item: Object | None) -> str:
    """Name who wrote a spec last, by the managed fields; empty if nobody but us is named."""
    entries = ((item or {}).get("metadata") or {}).get("managedFields") or []
    others = [
        (str(entry.get("time", "")), str(entry.get("manager")))
        for entry in entries
        if not entry.get("subresource") and entry.get("manager") not in {"coalmine", "flagger"}
    ]
    return max(others)[1] if others else ""


def _pod(deployment: Object | None) -> Mapping[str, Any]:
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    return template.get("spec") or {}


def _greatest(analysis: Mapping[str, Any]) -> int:
    weights = analysis.get("stepWeights") or []
    return int(weights[-1] if weights else analysis.get("maxWeight") or 100)
