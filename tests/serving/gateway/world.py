"""A service behind an HTTPRoute on the API server of `tests.kubeapi`, its controllers played."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from coalmine.serving.gateway.decide import Way
from coalmine.serving.gateway.moves import GatewayMoves
from coalmine.serving.gateway.rules import backends
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.template import Template
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.drive import Timing
from coalmine.serving.protocol import ReleaseRecord
from tests.kubeapi.direct import direct_api, direct_client
from tests.kubeapi.kinds import Kind, kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import ApiError
from tests.kubeapi.store import Object

NAMESPACE = "ml"
V1, V2, V3, V4 = (f"registry.example.com/iris@sha256:{digit * 64}" for digit in "1234")
ROUTE = kind_of("gateway.networking.k8s.io/v1", "HTTPRoute")
DEPLOYMENT = kind_of("apps/v1", "Deployment")
ISVC = kind_of("serving.kserve.io/v1beta1", "InferenceService")
SERVICE = kind_of("v1", "Service")
POD = kind_of("v1", "Pod")
SLICE = kind_of("discovery.k8s.io/v1", "EndpointSlice")
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def deployment(name: str, image: str = V1) -> Object:
    pod = {
        "containers": [
            {
                "name": "bento",
                "image": image,
                "ports": [{"containerPort": 3000}],
                "resources": {"limits": {"memory": "1Gi"}},
            }
        ],
        "serviceAccountName": "iris",
    }
    labels = {"app": "iris", "team": "ml"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "iris"}}, "template": template},
    }


def isvc(name: str, image: str = V1) -> Object:
    containers = [{"name": "kserve-container", "image": image}]
    notes = {"serving.kserve.io/deploymentMode": "Standard"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"predictor": {"minReplicas": 1, "containers": containers}},
    }


def modelled(name: str, image: str = V1) -> Object:
    """Make one of KServe's own predictor, with a container beside its server."""
    made = isvc(name, image)
    beside = {"name": "agent", "image": "agent"}
    model = {"modelFormat": {"name": "bento"}, "runtime": "bento", "image": image}
    made["spec"]["predictor"] = {"minReplicas": 1, "model": model, "containers": [beside]}
    return made


def route(backend: str = "", port: int = 3000) -> Object:
    refs = {"backendRefs": [{"name": backend, "port": port}]} if backend else {}
    spec = {"parentRefs": [{"name": "front"}], "hostnames": ["iris.example.com"], "rules": [refs]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "iris"},
        "spec": spec,
    }


def plain_service(name: str) -> Object:
    spec = {"selector": {"app": "iris"}, "ports": [{"port": 3000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@dataclass
class World:
    """The cluster of one test.

    Attributes:
        api: The API server.
        kube: A client.
        broken: Images that cannot be pulled.
        refused: Why the Gateway refuses every route; empty if it takes them.
        worst: The greatest share that each Service was ever asked to get.
        unserved: Services that were asked to get traffic while none of their endpoints was ready.
    """

    api: KubeApi
    kube: Kube
    broken: set[str] = field(default_factory=set)
    refused: str = ""
    worst: dict[str, int] = field(default_factory=dict)
    unserved: list[str] = field(default_factory=list)
    elapsed: int = 0

    def all(self, kind: Kind) -> list[Object]:
        return self.api.store.list(kind, NAMESPACE)[0]

    def names(self, kind: Kind) -> list[str]:
        return [item["metadata"]["name"] for item in self.all(kind)]

    def add(self, *items: Object) -> None:
        for item in items:
            self.api.store.create(item, NAMESPACE, manager="kubectl")
            self.step()
            self.step()

    def edit(self, kind: Kind, name: str, change: Callable[[Object], object]) -> None:
        def changed(now: Object) -> Object:
            change(now)
            return now

        self.api.store.update(kind, NAMESPACE, name, changed, manager="kubectl-edit")

    def step(self, _seconds: float = 0) -> None:
        """Let every controller do its next bit."""
        self.elapsed += 10
        for item in self.all(DEPLOYMENT):
            labels = item["spec"]["template"]["metadata"]["labels"]
            self._run(item, _image(item["spec"]["template"]["spec"]), labels)
        for item in self.all(ISVC):
            name = item["metadata"]["name"]
            labels = {"serving.kserve.io/inferenceservice": name}
            self._run(item, _image(item["spec"]["predictor"]), labels)
            service: Object = {"apiVersion": "v1", "kind": "Service"}
            service |= {"metadata": {"name": f"{name}-predictor"}, "spec": {"selector": labels}}
            self._make(service)
        self._collect()
        for service in self.all(SERVICE):
            self._fill(service)
        for item in self.all(ROUTE):
            self._accept(item)

    def _run(self, item: Object, image: str, labels: dict[str, str]) -> None:
        metadata: Object = {"name": f"{item['metadata']['name']}-pod", "labels": labels}
        self._make({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})
        pod = self.api.store.get(POD, NAMESPACE, metadata["name"])
        up = image not in self.broken
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f"no {image}"}}
        state = {"name": "bento", "state": {"running": {}} if up else waiting}
        ready = {"type": "Ready", "status": "True" if up else "False"}
        self.api.store.set_status(pod, {"conditions": [ready], "containerStatuses": [state]})
        status: Object = {"observedGeneration": item["metadata"]["generation"]}
        status |= {"availableReplicas": int(up), "conditions": [ready]}
        self.api.store.set_status(item, status)

    def _collect(self) -> None:
        """Remove the pods of workloads that are gone."""
        owners = {f"{name}-pod" for kind in (DEPLOYMENT, ISVC) for name in self.names(kind)}
        for name in {*self.names(POD)} - owners:
            self.api.store.delete(POD, NAMESPACE, name)

    def _fill(self, service: Object) -> None:
        wanted = service["spec"].get("selector", {}).items()
        pods = [pod for pod in self.all(POD) if wanted <= pod["metadata"].get("labels", {}).items()]
        up = [p for p in pods if p.get("status", {}).get("conditions", [{}])[0]["status"] == "True"]
        name = service["metadata"]["name"]
        metadata = {"name": name, "labels": {"kubernetes.io/service-name": name}}
        body: Object = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
        body |= {"metadata": metadata, "endpoints": [{"conditions": {"ready": True}} for _ in up]}
        self._make(body)
        self.edit(SLICE, name, lambda now: now.update(endpoints=body["endpoints"]))

    def _accept(self, item: Object) -> None:
        generation = item["metadata"]["generation"]
        fine = {"status": "True", "observedGeneration": generation}
        accepted = {"type": "Accepted", **fine}
        if self.refused:
            accepted |= {"status": "False", "reason": "Refused", "message": self.refused}
        conditions = [accepted, {"type": "ResolvedRefs", **fine}]
        parents = [{"parentRef": {"name": "front"}, "conditions": conditions}]
        self.api.store.set_status(item, {"parents": parents})

    def _make(self, item: Object) -> None:
        try:
            self.api.store.create(item, NAMESPACE, manager="controller")
        except ApiError as refusal:
            if refusal.code != 409:
                raise

    def watch(self, change: Any) -> None:
        """Hold every change of the route against what could answer at that moment."""
        if change.kind != ROUTE or change.type == "DELETED" or change.namespace != NAMESPACE:
            return
        for name, share in backends(change.object["spec"]["rules"]).items():
            self.worst[name] = max(share, self.worst.get(name, 0))
            slices = [one for one in self.all(SLICE) if one["metadata"]["name"] == name]
            if not any(one["endpoints"] for one in slices):
                self.unserved.append(name)

    def backend(
        self, *, template: Template | None = None, force: bool = False, **way: Any
    ) -> KubeServing[Seen]:
        ticks = itertools.count()
        return KubeServing(
            self.kube,
            GatewayMoves(Way(NAMESPACE, template, **way), now=self.now),
            timing=Timing(timeout=40, clock=lambda: float(next(ticks)), sleep=self.step),
            force=force,
            now=self.now,
            name="gateway",
        )

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def route(self) -> Object:
        return self.api.store.get(ROUTE, NAMESPACE, "iris")

    def split(self) -> dict[str, int]:
        return backends(self.route()["spec"]["rules"])


def canary(
    backend: KubeServing[Seen], release: str = "r2", image: str = V2, percent: int = 10
) -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version=release, percent=percent, release_id=release
    )


def _image(pod: Object) -> str:
    return str((pod.get("model") or pod["containers"][0])["image"])


def new_world(api: KubeApi | None = None) -> World:
    api = api or direct_api()
    api.app.pods = lambda _pod, _method, path, _body: (
        200,
        json.dumps({"paths": {}} if "docs" in path else {}),
    )
    made = World(api, Kube(direct_client(api), NAMESPACE, sleep=lambda _: None))
    api.store.subscribe(made.watch)
    return made


def adopt(world: World) -> World:
    """Add a Deployment, a Service and a route that somebody else has made."""
    world.add(deployment("iris-v1"), plain_service("iris-v1"), route("iris-v1"))
    return world
