"""A service on the API server of `tests.kubeapi`, its controllers played, and a backend on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.serving.kserve.knative import KnativeMoves
from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kserve.template import Template
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.drive import Timing
from tests.kubeapi.direct import direct_api, direct_client
from tests.kubeapi.server import KubeApi
from tests.kubeapi.store import Object
from tests.serving.kserve.controller import (
    ISVC,
    NAMESPACE,
    Played,
    answer_predictions,
    service_of,
)

V1, V2, V3, V4 = (f"registry.example.com/iris@sha256:{digit * 64}" for digit in "1234")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class World:
    """The cluster of one test.

    Attributes:
        api: The API server.
        played: The controllers; each wait of the backend is one step of theirs.
        kube: A client.
        worst: The greatest users' share that each image was ever routed.
    """

    api: KubeApi
    played: Played
    kube: Kube
    worst: dict[str, int] = field(default_factory=dict)

    def step(self, _seconds: float = 0) -> None:
        self.played.step()
        for image, share in self.played.shares().items():
            self.worst[image] = max(share, self.worst.get(image, 0))

    def backend(
        self, *, force: bool = False, template: Object | None = None, timeout: float = 25
    ) -> KubeServing[Seen]:
        ticks = itertools.count()
        return KubeServing(
            self.kube,
            KnativeMoves(NAMESPACE, Template(template) if template else None, force=force),
            timing=Timing(timeout=timeout, clock=lambda: float(next(ticks)), sleep=self.step),
            force=force,
            now=lambda: NOW,
            name="kserve",
        )

    def serving(self, image: str = V1, **predictor: Any) -> None:
        self.api.store.create(service_of(image, **predictor), NAMESPACE, manager="kubectl")
        self.played.settle()

    def service(self) -> Object:
        return self.api.store.get(ISVC, NAMESPACE, "iris")

    def edit(self, change: Callable[[Object], object], manager: str = "kubectl-edit") -> None:
        def changed(now: Object) -> Object:
            change(now)
            return now

        self.api.store.update(ISVC, NAMESPACE, "iris", changed, manager=manager)

    def asked(self) -> tuple[str, int | None]:
        """The image and the percent that the spec asks for."""
        seen = Seen(self.service())
        return seen.image, seen.percent


def new_world() -> World:
    api = direct_api()
    answer_predictions(api)
    kube = Kube(direct_client(api), NAMESPACE, sleep=lambda _: None)
    return World(api, Played(api.store), kube)


@pytest.fixture
def world() -> Iterator[World]:
    made = new_world()
    yield made
    made.kube.close()
