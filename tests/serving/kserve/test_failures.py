"""Canaries that do not come up: what real pods, revisions and controllers said, second by second.

`failures.json` holds it, from a cluster with KServe 0.20 and Knative Serving 1.23; times count from
the release's write, and Knative's own deadline was the default of 600 s.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kserve.knative import KnativeMoves
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.drive import Timing
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.status import ApiError
from tests.serving.kserve.conftest import V1, V2, World
from tests.serving.kserve.controller import NAMESPACE, service_of
from tests.serving.kserve.test_knative import canary

RECORDED = json.loads((Path(__file__).parent / "failures.json").read_text())
KINDS = {"Revision": "serving.knative.dev/v1", "Pod": "v1"}


class Replay:
    """Time passes only when the backend waits, and brings what was recorded for it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.now = world, 0.0
        self.events = iter([*RECORDED[name]["events"], {"t": 10**6}])
        self.next: dict[str, Any] = next(self.events)
        world.api.store.create(service_of(V1), NAMESPACE)
        self.bring(RECORDED[name]["before"])
        self.make("Revision", "iris-predictor-00001", V1)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.next["t"] <= self.now:
            self.bring(self.next)
            self.next = next(self.events)

    def bring(self, event: dict[str, Any]) -> None:
        if event["kind"] == "InferenceService":
            self.world.api.store.set_status(self.world.service(), event["status"])
            return
        item = self.make(event["kind"], event["name"], V2, event.get("revision"))
        self.world.api.store.set_status(item, event["status"])

    def make(self, kind: str, name: str, image: str, revision: str | None = None) -> Any:
        labels = {"serving.knative.dev/revision": revision} if revision else {}
        head = {"apiVersion": KINDS[kind], "kind": kind}
        metadata = {"name": name, "labels": labels}
        spec = {"containers": [{"name": "kserve-container", "image": image}]}
        try:
            return self.world.api.store.create(
                {**head, "metadata": metadata, "spec": spec}, NAMESPACE
            )
        except ApiError:
            return self.world.api.store.get(kind_of(KINDS[kind], kind), NAMESPACE, name)

    def backend(self, timeout: float, jitter: float = 1.0) -> KubeServing[Any]:
        timing = Timing(timeout=timeout, clock=self.clock, sleep=self.sleep, jitter=lambda: jitter)
        return KubeServing(self.world.kube, KnativeMoves(NAMESPACE), timing=timing)


@pytest.mark.parametrize("jitter", [0.9, 0.95, 1.0, 1.04, 1.07, 1.1])
@pytest.mark.parametrize(
    ("name", "shown", "told"),
    [
        ("crashloop", 1.2, r"crash \(pod .*exit code 3: .*model file is corrupt"),
        ("unpullable", 3.0, r"image \(pod .*(ErrImagePull|ImagePullBackOff): .*failed to"),
        ("noresolve", 0.4, "revision: ContainerMissing: Unable to fetch image"),
    ],
)
def test_the_reason_is_told_within_15_seconds(
    world: World, name: str, shown: float, told: str, jitter: float
) -> None:
    replay = Replay(world, name)
    with pytest.raises(InputError) as caught:
        canary(replay.backend(480, jitter))
    assert re.search(told, caught.value.message, re.DOTALL), caught.value.message
    assert replay.now - shown <= 15


def test_the_last_log_lines_are_told(world: World) -> None:
    pod = "iris-predictor-00002-deployment-75f9fc8545-fkqft"
    world.api.app.logs[NAMESPACE, pod, "kserve-container"] = "loading\nmodel file is corrupt\n"
    with pytest.raises(InputError, match="loading\nmodel file is corrupt"):
        canary(Replay(world, "crashloop").backend(480))


def test_a_probe_that_never_passes_is_waited_for_and_told(world: World) -> None:
    replay = Replay(world, "neverready")
    with pytest.raises(CoalmineError, match=r"gave up after 40 s: the revision .* is not ready"):
        canary(replay.backend(40))
    assert world.asked() == (V2, 0)


def test_a_release_that_waits_asks_once_a_second(world: World) -> None:
    """At first more often."""
    replay = Replay(world, "neverready")
    with pytest.raises(CoalmineError, match="gave up after 300 s"):
        canary(replay.backend(300))
    reads = [path for verb, path, _ in world.api.app.requests if verb == "GET"]
    single = [path for path in reads if not re.search("/(pods|events|deployments)", path)]
    assert len(single) / replay.now <= 1.3
    assert len(reads) / replay.now <= 2
