"""KFServing's ``v1alpha2``, with its controller played as kfserving 0.4 has it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kserve.pair import PairMoves
from coalmine.serving.kserve.pair_seen import Pair
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import Change, Kube
from coalmine.serving.kube.drive import Timing
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.taken_back import TakenBackError
from tests.kubeapi.direct import direct_api, direct_client
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.store import Object
from tests.serving.kserve.conftest import V1, V2, V3
from tests.serving.kserve.controller import NAMESPACE, POD, REVISION, answer_predictions
from tests.serving.kube.dying import Killed, dying
from tests.serving.kube.rights import asked, granted

ISVC = kind_of("serving.kubeflow.org/v1alpha2", "InferenceService")
SERVICE = kind_of("serving.knative.dev/v1", "Service")


@dataclass
class Played:
    """A cluster with one service, and KFServing's controller.

    Attributes:
        api: The API server.
        kube: A client.
        bad: Images that never come up.
        routed: What the route gives to each image.
        lost: Whether a request could ever go to a half that was gone.
    """

    api: KubeApi
    kube: Kube
    bad: set[str] = field(default_factory=set)
    routed: dict[str, int] = field(default_factory=dict)
    worst: dict[str, int] = field(default_factory=dict)
    lost: bool = False
    halves: dict[str, list[str]] = field(default_factory=dict)

    def apply(self, image: str = V1, **predictor: Any) -> None:
        custom = {"container": {"name": "bento", "image": image, "env": [{"name": "A"}]}}
        spec = {"default": {"predictor": predictor or {"custom": custom, "minReplicas": 2}}}
        body: Object = {"apiVersion": ISVC.api_version, "kind": "InferenceService"}
        body |= {"metadata": {"name": "iris"}, "spec": spec}
        self.api.store.create(body, NAMESPACE, manager="kubectl")
        for _ in range(4):
            self.step()

    def service(self) -> Object:
        return self.api.store.get(ISVC, NAMESPACE, "iris")

    def edit(self, change: Callable[[Object], object]) -> None:
        def changed(now: Object) -> Object:
            change(now)
            return now

        self.api.store.update(ISVC, NAMESPACE, "iris", changed, manager="kubectl-edit")

    def step(self, _seconds: float = 0) -> None:
        service = self.service()
        spec, status = service["spec"], dict(service.get("status") or {})
        ready = True
        for half in ("default", "canary"):
            if half in spec:
                ready &= self._half(half, spec[half], status)
            elif self.halves.pop(half, None):
                self.api.store.delete(SERVICE, NAMESPACE, f"iris-predictor-{half}")
                self.lost |= bool(status.get("canaryTraffic")) and not self.bad
                status.pop(half, None)
        # While a half has no host name the route stays as it was, and says why.
        condition = {"type": "RoutesReady", "status": "True" if ready else "False"}
        status["conditions"] = [condition]
        if ready:
            percent = spec.get("canaryTrafficPercent", 0)
            status |= {"traffic": 100 - percent, "canaryTraffic": percent, "url": "http://iris"}
            status = {k: v for k, v in status.items() if v != 0}
            self.routed = {self._serving("default"): 100 - percent}
            if percent:
                self.routed[self._serving("canary")] = percent
        for image, share in self.routed.items():
            self.worst[image] = max(share, self.worst.get(image, 0))
        self.api.store.set_status(service, status)

    def _serving(self, half: str) -> str:
        return [image for image in self.halves[half] if image not in self.bad][-1]

    def _half(self, half: str, endpoint: Object, status: Object) -> bool:
        image = endpoint["predictor"]["custom"]["container"]["image"]
        made = self.halves.setdefault(half, [])
        new = not made or made[-1] != image
        if new:
            made.append(image)
        name = f"iris-predictor-{half}-{len(made):05d}"
        status[half] = {"predictor": {"name": name}}
        if new:
            self._make(name, image)
            if len(made) == 1:
                head: Object = {"apiVersion": SERVICE.api_version, "kind": "Service"}
                metadata = {"name": f"iris-predictor-{half}"}
                self.api.store.create(head | {"metadata": metadata, "spec": {}}, NAMESPACE)
            return False
        up = image not in self.bad
        reason = {} if up else {"reason": "ExitCode3", "message": "no model"}
        ready = {"type": "Ready", "status": "True" if up else "False", **reason}
        self.api.store.set_status(
            self.api.store.get(REVISION, NAMESPACE, name), {"conditions": [ready]}
        )
        if up:
            service = self.api.store.get(SERVICE, NAMESPACE, f"iris-predictor-{half}")
            self.api.store.set_status(service, {"latestReadyRevisionName": name})
        return up

    def _make(self, name: str, image: str) -> None:
        existing = {one["metadata"]["name"] for one in self.api.store.list(REVISION, NAMESPACE)[0]}
        if name in existing:
            self.api.store.delete(REVISION, NAMESPACE, name)
            self.api.store.delete(POD, NAMESPACE, name)
        head: Object = {"apiVersion": REVISION.api_version, "kind": "Revision"}
        spec = {"containers": [{"name": "kserve-container", "image": image}]}
        self.api.store.create(head | {"metadata": {"name": name}, "spec": spec}, NAMESPACE)
        metadata = {"name": name, "labels": {"serving.knative.dev/revision": name}}
        pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}
        made = self.api.store.create(pod, NAMESPACE)
        self.api.store.set_status(made, {"conditions": [{"type": "Ready", "status": "True"}]})

    def backend(self, kube: Kube | None = None, *, force: bool = False) -> KubeServing[Pair]:
        ticks = itertools.count()
        return KubeServing(
            kube or self.kube,
            PairMoves(NAMESPACE),
            timing=Timing(timeout=25, clock=lambda: float(next(ticks)), sleep=self.step),
            force=force,
            now=lambda: datetime(2026, 1, 31, 12, tzinfo=UTC),
        )


def new_played() -> Played:
    api = direct_api()
    answer_predictions(api)
    return Played(api, Kube(direct_client(api), NAMESPACE, sleep=lambda _: None))


@pytest.fixture
def played() -> Iterator[Played]:
    made = new_played()
    yield made
    made.kube.close()


def canary(
    backend: KubeServing[Pair], image: str = V2, release: str = "r1", percent: int = 10
) -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version=release, percent=percent, release_id=release
    )


def test_a_canary_climbs_and_is_promoted(played: Played) -> None:
    played.apply()
    record = canary(played.backend())
    assert (record.stable, record.canary) == (
        "iris-predictor-default-00001",
        "iris-predictor-canary-00001",
    )
    assert played.routed == {V1: 90, V2: 10}
    assert played.service()["spec"]["canary"]["predictor"]["minReplicas"] == 2
    played.backend().set_traffic(service="iris", percent=50, release_id="r1")
    assert played.routed == {V1: 50, V2: 50}
    ended = played.backend().promote(service="iris", release_id="r1")
    assert (ended.phase, ended.canary) == (Phase.PROMOTED, "iris-predictor-default-00002")
    assert played.routed == {V2: 100}
    assert set(played.service()["spec"]) == {"default"}
    assert not played.lost
    shares = played.backend().observe("iris").shares
    assert [(s.revision, s.version, s.percent, s.ready) for s in shares] == [
        ("iris-predictor-default-00002", "r1", 100, True)
    ]
    assert canary(played.backend(), V3, "r2").stable_version == "r1"


def test_a_roll_back_leaves_the_service_as_it_was(played: Played) -> None:
    played.apply()
    before = played.service()["spec"]
    canary(played.backend())
    ended = played.backend().rollback(service="iris", release_id="r1")
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK
    assert (played.service()["spec"], played.routed) == (before, {V1: 100})
    assert not played.lost


def test_a_canary_that_does_not_come_up_never_gets_traffic(played: Played) -> None:
    played.apply()
    played.bad.add(V2)
    with pytest.raises(InputError, match="ExitCode3: no model"):
        canary(played.backend())
    played.backend().rollback(service="iris", release_id="r1")
    assert played.worst.get(V2, 0) == 0
    assert "canary" not in played.service()["spec"]


@pytest.mark.parametrize("end", ["promote", "rollback"])
def test_finalize_is_right_from_every_state(end: str) -> None:
    killed, left = True, 0
    while killed:
        played = new_played()
        played.apply()
        kube = dying(played.kube, left)
        try:
            canary(played.backend(kube))
            getattr(played.backend(kube), end)(service="iris", release_id="r1")
            killed = False
        except Killed:
            played.step()
        played.backend().rollback(service="iris", release_id="r1")
        kept = Ownership(played.kube).read("iris")
        promoted = kept is not None and kept.record.phase is Phase.PROMOTED
        assert played.routed == {V2 if promoted else V1: 100}
        assert set(played.service()["spec"]) == {"default"}
        assert not played.lost
        assert Ownership(played.kube).holder("iris") == ""
        left += 1
    assert left > 6


def test_a_promotion_whose_default_does_not_come_up_is_taken_back(played: Played) -> None:
    played.apply()
    canary(played.backend())

    class Losing(Kube):
        def write(self, change: Change) -> Object:
            if "the default's" in change.what:
                played.bad.add(V2)
            return super().write(change)

    losing = Losing(played.kube._http, NAMESPACE, sleep=lambda _: None)
    with pytest.raises(TakenBackError):
        played.backend(losing).promote(service="iris", release_id="r1")
    played.step()
    assert played.routed == {V1: 100}
    assert set(played.service()["spec"]) == {"default"}
    assert not played.lost


def test_what_others_change_is_named_and_not_overwritten(played: Played) -> None:
    played.apply()
    canary(played.backend())
    played.edit(lambda now: now["spec"].update(canaryTrafficPercent=40))
    with pytest.raises(InputError, match=r"percent was set to 40 \(last written by kubectl-edit"):
        played.backend().set_traffic(service="iris", percent=20, release_id="r1")
    played.backend().rollback(service="iris", release_id="r1")
    assert played.routed == {V1: 100}
    played.edit(lambda now: now["spec"].update(canary=now["spec"]["default"]))
    with pytest.raises(CoalmineError, match="a canary that no release owns"):
        canary(played.backend(), V3, "r2")


def test_what_takes_no_image_is_refused(played: Played) -> None:
    with pytest.raises(InputError, match="is none, so it takes no image"):
        canary(played.backend())
    played.apply()
    with pytest.raises(InputError, match="set to this image already"):
        canary(played.backend(), V1)


def test_the_shipped_role_is_what_releases_ask_for(played: Played) -> None:
    played.apply()
    canary(played.backend())
    played.backend().promote(service="iris", release_id="r1")
    played.bad.add(V3)
    with pytest.raises(CoalmineError):
        canary(played.backend(), V3, "r2")
    # Why a container ended is read from its log, which no pod here has.
    wanted = granted("kfserving-v1alpha2.yaml") - {("", "pods/log", "get")}
    assert asked(played.api) == wanted
