"""A Deployment on the API server of `tests.kubeapi`, Flagger played, and a backend on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.serving.flagger.analysis import Analysis, Measure
from coalmine.serving.flagger.backend import FlaggerServing
from coalmine.serving.flagger.moves import FlaggerMoves
from coalmine.serving.flagger.setup import Way
from coalmine.serving.flagger.template import Template
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.drive import Timing
from coalmine.serving.protocol import ReleaseRecord
from tests.kubeapi.direct import direct_api, direct_client
from tests.kubeapi.server import KubeApi
from tests.kubeapi.store import Object
from tests.serving.flagger.controller import CANARY, Flagger
from tests.serving.flagger.deployments import DEPLOYMENT, NAMESPACE

V1, V2, V3 = (f"registry.example.com/iris@sha256:{digit * 64}" for digit in "123")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ANALYSIS = Analysis(
    prometheus="http://prometheus.monitoring:9090",
    interval=60,
    threshold=2,
    weights=(5, 10),
    measures=(Measure("error_rate", 'max(errors{app="iris"})', maximum=0.01),),
)


def deployment(image: str = V1) -> Object:
    containers: list[Object] = [
        {"name": "bento", "ports": [{"containerPort": 3000}], "env": [{"name": "A", "value": "1"}]},
        {"name": "proxy", "image": "envoy"},
    ]
    if image:
        containers[0]["image"] = image
    pod = {"containers": containers, "initContainers": [{"name": "model", "image": "old"}]}
    labels = {"app": "iris"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    head: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "iris"}}
    return head | {"spec": spec}


def canary_of(**spec: Any) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "iris"}
    theirs = {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}
    analysis = {"interval": "1m", "threshold": 5, "stepWeights": [20, 40], "metrics": [theirs]}
    head: Object = {"apiVersion": CANARY.api_version, "kind": "Canary"}
    head["metadata"] = {"name": "theirs"}
    return head | {
        "spec": {"targetRef": target, "service": {"port": 80}, "analysis": analysis, **spec}
    }


@dataclass
class World:
    """The cluster of one test; each wait of a backend is one look of Flagger's.

    Attributes:
        api: The API server.
        flagger: The controllers.
        kube: A client.
        worst: The greatest users' share that each image ever had.
    """

    api: KubeApi
    flagger: Flagger
    kube: Kube
    worst: dict[str, int] = field(default_factory=dict)

    def step(self, _seconds: float = 0) -> None:
        self.flagger.tick()
        for image, share in self.flagger.shares().items():
            self.worst[image] = max(share, self.worst.get(image, 0))

    def backend(
        self,
        *,
        force: bool = False,
        timeout: float = 25,
        kube: Kube | None = None,
        template: Template | None = None,
        analysis: Analysis | None = ANALYSIS,
        container: str = "",
    ) -> FlaggerServing:
        ticks = itertools.count()
        return FlaggerServing(
            kube or self.kube,
            FlaggerMoves(Way(NAMESPACE, analysis, template, container)),
            timing=Timing(timeout=timeout, clock=lambda: float(next(ticks)), sleep=self.step),
            force=force,
            now=lambda: NOW,
            name="flagger",
        )

    def serving(self, image: str = V1) -> None:
        """Let a Deployment serve that Flagger has not seen."""
        self.api.store.create(deployment(image), NAMESPACE, manager="kubectl")
        self.flagger.roll()

    def driven(self, image: str = V1, **spec: Any) -> None:
        """Let Flagger drive it, by a Canary of the team's own."""
        self.serving(image)
        self.flagger.name = "iris"
        made = canary_of(**spec)
        made["metadata"]["name"] = "iris"
        self.api.store.create(made, NAMESPACE, manager="kubectl")
        self.flagger.settle()

    def edit(self, kind: Any, change: Callable[[Object], object], manager: str = "kubectl") -> None:
        def changed(now: Object) -> Object:
            change(now)
            return now

        self.api.store.update(kind, NAMESPACE, "iris", changed, manager=manager)

    def set_image(self, image: str) -> None:
        self.edit(DEPLOYMENT, lambda now: _containers(now)[0].update(image=image))

    def canary(self) -> Object:
        return self.api.store.get(CANARY, NAMESPACE, "iris")


def _containers(item: Object) -> list[Object]:
    found: list[Object] = item["spec"]["template"]["spec"]["containers"]
    return found


def release(backend: FlaggerServing, image: str = V2, name: str = "r1") -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version=name, percent=10, release_id=name
    )


def new_world() -> World:
    api = direct_api()
    kube = Kube(direct_client(api), NAMESPACE, sleep=lambda _: None)
    return World(api, Flagger(api.store), kube)


@pytest.fixture
def world() -> Iterator[World]:
    made = new_world()
    yield made
    made.kube.close()
