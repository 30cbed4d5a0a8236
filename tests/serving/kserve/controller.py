"""KServe and Knative, played: what they were recorded to do to an InferenceService.

`test_controller.py` holds this against the recordings of a real cluster. One `step` is one
reconciliation, so that a test sees every state in between.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import ApiError
from tests.kubeapi.store import Object, Store

ISVC = kind_of("serving.kserve.io/v1beta1", "InferenceService")
REVISION = kind_of("serving.knative.dev/v1", "Revision")
POD = kind_of("v1", "Pod")
NAMESPACE = "ml"


@dataclass
class Played:
    """One service's controllers.

    Attributes:
        store: The API server's objects.
        name: The InferenceService.
        bad: Images that never become ready.
        pods: Whether pods are made, for the first prediction.
        tagged: Whether the route of the newest revision has a tag of its own.
    """

    store: Store
    name: str = "iris"
    kind: Any = ISVC
    bad: set[str] = field(default_factory=set)
    pods: bool = True
    tagged: bool = False
    templates: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    is_ready: list[bool] = field(default_factory=list)
    rolled: str = ""
    before: str = ""
    routed: list[Any] = field(default_factory=list)
    uid: str = ""

    def revision(self, index: int) -> str:
        return f"{self.name}-predictor-{index + 1:05d}"

    def step(self) -> bool:
        """Reconcile once; tells whether anything changed."""
        try:
            service = self.store.get(self.kind, NAMESPACE, self.name)
        except ApiError:
            self._forget()
            return False
        if self.uid and service["metadata"]["uid"] != self.uid:
            self._forget()
        self.uid = service["metadata"]["uid"]
        if (template := _template(service)) != (self.templates or [""])[-1]:
            self._create(service, template)
            return self._tell(service, settled=False)
        if not self.is_ready[-1]:
            if self.images[-1] in self.bad:
                self._fail()
            else:
                self._become_ready()
                return self._tell(service, settled=False)
        return self._tell(service, settled=True)

    def settle(self) -> None:
        for _ in range(20):
            if not self.step():
                return
        raise AssertionError("the controllers do not come to rest")

    def shares(self) -> dict[str, int]:
        """The users' share of each image, as the last step routed it."""
        found: dict[str, int] = {}
        for entry in self.routed:
            image = self.images[int(entry["revisionName"][-5:]) - 1]
            found[image] = found.get(image, 0) + int(entry["percent"])
        return found

    def _forget(self) -> None:
        self.templates, self.images, self.is_ready = [], [], []
        self.rolled = self.before = self.uid = ""
        self.routed = []
        for kind in (REVISION, POD):
            for item in self.store.list(kind, NAMESPACE)[0]:
                self.store.delete(kind, NAMESPACE, item["metadata"]["name"])

    def _create(self, service: Object, template: str) -> None:
        self.templates.append(template)
        containers = service["spec"]["predictor"]["containers"]
        self.images.append(containers[0]["image"])
        self.is_ready.append(False)
        name = self.revision(len(self.images) - 1)
        least = str(service["spec"]["predictor"].get("minReplicas", 1))
        metadata = {"name": name, "annotations": {"autoscaling.knative.dev/min-scale": least}}
        head = {"apiVersion": REVISION.api_version, "kind": "Revision", "metadata": metadata}
        self.store.create(head | {"spec": {"containers": copy.deepcopy(containers)}}, NAMESPACE)

    def _fail(self) -> None:
        name = self.revision(len(self.images) - 1)
        condition = {
            "type": "Ready",
            "status": "False",
            "reason": "ExitCode3",
            "message": "no model",
        }
        revision = self.store.get(REVISION, NAMESPACE, name)
        self.store.set_status(revision, {"conditions": [condition]})

    def _become_ready(self) -> None:
        self.is_ready[-1] = True
        if not self.pods:
            return
        name = self.revision(len(self.images) - 1)
        labels = {"serving.knative.dev/revision": name}
        head = {"apiVersion": "v1", "kind": "Pod"}
        pod: Object = head | {"metadata": {"name": f"{name}-deployment-x", "labels": labels}}
        pod["spec"] = {"containers": [{"name": "kserve-container", "ports": []}]}
        made = self.store.create(pod, NAMESPACE)
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.store.set_status(made, ready)

    def _tell(self, service: Object, *, settled: bool) -> bool:
        percent = service["spec"]["predictor"].get("canaryTrafficPercent")
        newest = max((i for i, ready in enumerate(self.is_ready) if ready), default=-1)
        latest = self.revision(newest) if newest >= 0 else ""
        if latest and (percent is None or not self.rolled) and self.rolled != latest:
            self.before, self.rolled = self.rolled, latest
        self.routed = _traffic(latest, self.rolled, percent)
        if self.tagged and self.routed:
            self.routed[0] |= {"tag": "latest", "url": f"http://latest-{self.name}.ml.example.com"}
        predictor: dict[str, Any] = {
            "latestCreatedRevision": self.revision(len(self.images) - 1),
            "latestReadyRevision": latest,
            "latestRolledoutRevision": self.rolled,
            "previousRolledoutRevision": self.before,
            "traffic": self.routed,
        }
        ready = "True" if settled and self.is_ready[-1] else "Unknown"
        status = {
            "components": {"predictor": {k: v for k, v in predictor.items() if v}},
            "conditions": [{"type": "Ready", "status": ready}],
            "observedGeneration": len(self.images),
            "url": f"http://{self.name}.ml.example.com",
        }
        if service.get("status") == status:
            return False
        self.store.set_status(service, status)
        return True


def _template(service: Object) -> str:
    predictor = {
        k: v for k, v in service["spec"]["predictor"].items() if k != "canaryTrafficPercent"
    }
    notes = service["metadata"].get("annotations") or {}
    return json.dumps([predictor, notes, service["metadata"].get("labels")], sort_keys=True)


def _traffic(latest: str, rolled: str, percent: int | None) -> list[Any]:
    if not latest:
        return []
    if percent is None:
        return [{"revisionName": latest, "percent": 100, "latestRevision": True}]
    return [
        {"revisionName": latest, "percent": percent, "latestRevision": True},
        {"revisionName": rolled, "percent": 100 - percent, "latestRevision": False, "tag": "prev"},
    ]


def service_of(image: str, **predictor: Any) -> Object:
    containers = [
        {"name": "kserve-container", "image": image, "env": [{"name": "A", "value": "1"}]}
    ]
    return {
        "apiVersion": ISVC.api_version,
        "kind": "InferenceService",
        "metadata": {
            "name": "iris",
            "annotations": {"serving.kserve.io/deploymentMode": "Knative"},
        },
        "spec": {"predictor": {"containers": containers, **predictor}},
    }


def answer_predictions(api: KubeApi) -> None:
    """Let every pod answer as a bento does."""
    media = {"schema": {"properties": {"x": {"examples": [[1, 2]]}}}}
    page = {
        "paths": {"/predict": {"post": {"requestBody": {"content": {"application/json": media}}}}}
    }
    api.app.pods = lambda _pod, _method, path, _body: (
        200,
        json.dumps(page if "docs" in path else {}),
    )
