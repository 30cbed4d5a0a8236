"""Flagger, played: one `tick` is one of its looks at a Canary.

Its phases, and when it takes up what, are those of ``advanceCanary`` in fluxcd/flagger's
``pkg/controller/scheduler.go`` (v1.4x), with ``pkg/canary/status.go`` and ``spec.go`` for the
status it writes. The tests `test_controller` name the facts that a release leans on.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kubeapi.kinds import kind_of
from tests.kubeapi.status import ApiError
from tests.kubeapi.store import Object, Store
from tests.serving.flagger.deployments import DEPLOYMENT, NAMESPACE, image_of, roll

CANARY = kind_of("flagger.app/v1beta1", "Canary")
TEMPLATE = kind_of("flagger.app/v1beta1", "MetricTemplate")
EVENT = kind_of("v1", "Event")
STATUSES = {
    "Initialized": "True",
    "Succeeded": "True",
    "Failed": "False",
}


@dataclass
class Flagger:
    """One service's controllers: Flagger's, and that of its Deployments.

    Attributes:
        store: The API server's objects.
        name: The Deployment, and the Canary.
        bad: Images whose checks fail.
        broken: Images that never become ready.
        confirm: Whether the webhook confirm-rollout has said yes.
        promote: Whether the webhook confirm-promotion has said yes.
        lost: Whether the primary does not come up while it is promoted.
        crash: Whether broken images start and end again, rather than are not there.
        weight: The canary's share at the mesh, whatever the status says.
    """

    store: Store
    name: str = "iris"
    bad: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    confirm: bool = True
    promote: bool = True
    lost: bool = False
    crash: bool = False
    weight: int = 0
    times: Any = field(default_factory=lambda: itertools.count(1))

    # --- what is there

    def get(self, name: str) -> Object | None:
        return self._get(DEPLOYMENT, name)

    def _get(self, kind: Any, name: str) -> Object | None:
        try:
            return self.store.get(kind, NAMESPACE, name)
        except ApiError:
            return None

    def image(self, name: str) -> str:
        found = self.get(name)
        return image_of(found) if found else ""

    def status(self) -> Object:
        return (self._get(CANARY, self.name) or {}).get("status") or {}

    @property
    def phase(self) -> str:
        return str(self.status().get("phase", ""))

    def shares(self) -> dict[str, int]:
        """The users' share of each image."""
        target, primary = self.get(self.name), self.get(f"{self.name}-primary")
        if primary is None or self.phase in {"", "Initializing"}:
            return {image_of(target): 100} if target else {}
        found = {image_of(primary): 100 - self.weight}
        if target and self.weight:
            found[image_of(target)] = found.get(image_of(target), 0) + self.weight
        return found

    # --- controllers

    def roll(self) -> None:
        roll(self.store, broken=self.broken, crash=self.crash)

    def tick(self) -> None:
        """Look once."""
        self.roll()
        canary, target = self._get(CANARY, self.name), self.get(self.name)
        if canary is None:
            self._collect()
            return
        if target is None or canary["spec"].get("suspend"):
            return
        if self._initialized(canary, target):
            self._look(target, self.phase)

    def _look(self, target: Object, phase: str) -> None:
        canary = self.store.get(CANARY, NAMESPACE, self.name)
        if phase == "Failed":
            self._status(lastAppliedSpec=digest(target))
        if phase in {"Initialized", "Succeeded", "Failed"}:
            if self._has_changed(target, canary["status"]):
                self._begin(target)
            return
        if phase == "Waiting":
            if self.confirm:
                self._begin(target)
            return
        self._advance(canary, target, phase)
        self.roll()

    def settle(self, times: int = 30) -> None:
        for _ in range(times):
            before = self.store.version
            self.tick()
            if self.store.version == before:
                return

    def _initialized(self, canary: Object, target: Object) -> bool:
        primary = self.get(f"{self.name}-primary")
        if primary is None:
            made = copy.deepcopy(target)
            own = {"name": f"{self.name}-primary", "labels": {}}
            made |= {"metadata": own, "apiVersion": "apps/v1", "kind": "Deployment"}
            made["spec"]["replicas"] = max(1, target["spec"]["replicas"])
            labels = {"app": f"{self.name}-primary"}
            made["spec"]["selector"] = {"matchLabels": labels}
            made["spec"]["template"]["metadata"] = {"labels": labels}
            made.pop("status", None)
            self.store.create(made, NAMESPACE, manager="flagger")
            self._sync("Initializing", target, applied=False)
            return False
        if self.phase in {"", "Initializing"}:
            if not (primary.get("status") or {}).get("availableReplicas"):
                return False
            self._scale(0)
            self._sync("Initialized", target)
            self._status(lastPromotedSpec=digest(target))
            return False
        return bool(canary)

    def _has_changed(self, target: Object, status: Object) -> bool:
        now = digest(target)
        if status.get("lastPromotedSpec") == now:
            return False
        return bool(status.get("lastAppliedSpec") != now)

    def _begin(self, target: Object) -> None:
        if not self.confirm:
            self._phase("Waiting")
            return
        self._scale(1)
        self.weight = 0
        self._sync("Progressing", target)

    def _advance(self, canary: Object, target: Object, phase: str) -> None:
        status, analysis = canary["status"], canary["spec"]["analysis"]
        if phase in {"Progressing", "WaitingPromotion"} and self._has_changed(target, status):
            self.weight = 0
            self._sync("Progressing", target)
            return
        if not (target.get("status") or {}).get("availableReplicas"):
            return
        if phase == "Promoting" and self.lost:
            # The canary is the only one that is healthy, so it keeps the users.
            self.weight = 100
            self._sync("Failed", target)
            self._status(canaryWeight=100)
        elif phase == "Promoting":
            self.weight = 0
            self._phase("Finalising")
        elif phase == "Finalising":
            self._scale(0)
            self._phase("Succeeded")
            self._status(lastPromotedSpec=status["lastAppliedSpec"])
        elif status.get("failedChecks", 0) >= max(1, analysis["threshold"]):
            self._fail(target)
        elif self.weight and not self._passes(analysis, image_of(target)):
            self._status(failedChecks=status.get("failedChecks", 0) + 1)
        else:
            self._step(analysis, target)

    def _step(self, analysis: Object, target: Object) -> None:
        weights = analysis["stepWeights"]
        if self.weight < weights[-1]:
            self.weight = next(one for one in weights if one > self.weight)
            self._status(canaryWeight=self.weight)
        elif not self.promote:
            self._phase("WaitingPromotion")
        else:
            self._edit(
                f"{self.name}-primary",
                lambda now: now["spec"]["template"].update(spec=target["spec"]["template"]["spec"]),
            )
            self._phase("Promoting")

    def _passes(self, analysis: Object, image: str) -> bool:
        for metric in analysis.get("metrics") or []:
            if "templateRef" in metric:
                if not self._get(TEMPLATE, metric["templateRef"]["name"]):
                    return self._halt(f"Metric template {metric['templateRef']['name']} not found")
            elif metric.get("query") == "vector(1)" and metric["thresholdRange"]["max"] < 1:
                return self._halt(f"Halt advancement {metric['name']} 1.00 > 0")
        return image not in self.bad or self._halt(
            "Halt iris.ml advancement error_rate 0.50 > 0.01"
        )

    def _halt(self, message: str) -> bool:
        moment = f"2026-01-31T12:00:{next(self.times) % 60:02d}Z"
        about = {"kind": "Canary", "name": self.name, "namespace": NAMESPACE}
        event: Object = {"apiVersion": "v1", "kind": "Event", "type": "Warning"}
        event |= {"metadata": {"generateName": "e-"}, "involvedObject": about}
        self.store.create(event | {"message": message, "lastTimestamp": moment}, NAMESPACE)
        return False

    def _fail(self, target: Object) -> None:
        self.weight = 0
        self._scale(0)
        self._sync("Failed", target)

    # --- its writes

    def _sync(self, phase: str, target: Object, *, applied: bool = True) -> None:
        fields: dict[str, Any] = {"canaryWeight": 0, "failedChecks": 0, "iterations": 0}
        if applied:
            # It reads the Deployment again: what is noted is what is there by now.
            fields["lastAppliedSpec"] = digest(self.get(self.name) or target)
        self._phase(phase)
        self._status(**fields)

    def _phase(self, phase: str) -> None:
        status = self.status()
        (before, *_) = status.get("conditions") or [{}]
        now = {"type": "Promoted", "status": STATUSES.get(phase, "Unknown"), "reason": phase}
        now["message"] = f"Flagger is in {phase}."
        moment = f"t{next(self.times)}"
        turned = before.get("status") != now["status"]
        now["lastTransitionTime"] = moment if turned else before["lastTransitionTime"]
        same = not turned and before.get("reason") == phase
        keeps = phase in {"Progressing", "Waiting", "Promoting"}
        weight = {} if keeps else {"canaryWeight": 0}
        self._status(phase=phase, conditions=[before if same else now], **weight)

    def _status(self, **fields: Any) -> None:
        canary = self.store.get(CANARY, NAMESPACE, self.name)
        status = {**(canary.get("status") or {}), **fields}
        if status != canary.get("status"):
            self.store.set_status(canary, status)

    def _scale(self, replicas: int) -> None:
        self._edit(self.name, lambda now: now["spec"].update(replicas=replicas))
        self.roll()

    def _edit(self, name: str, change: Callable[[Object], object]) -> None:
        def changed(now: Object) -> Object:
            change(now)
            return now

        self.store.update(DEPLOYMENT, NAMESPACE, name, changed, manager="flagger")

    def _collect(self) -> None:
        """What a Canary owns goes with it."""
        if self.get(f"{self.name}-primary"):
            self.store.delete(DEPLOYMENT, NAMESPACE, f"{self.name}-primary")


def digest(deployment: Object) -> str:
    return str(hash(json.dumps(deployment["spec"]["template"], sort_keys=True)))
