"""KServe's ``spec.canary`` in Standard mode: as recorded on 0.20, and as if it were routed."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.gateway.seen import HTTP_ROUTE
from coalmine.serving.kserve.schema import faults
from coalmine.serving.kserve.standard import StandardMoves, StandardServing
from coalmine.serving.kserve.standard_seen import Standard
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.drive import Timing
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase, ReleaseRecord
from tests.kubeapi.direct import direct_api, direct_client
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.store import Object
from tests.serving.kserve.conftest import V1, V2, V3
from tests.serving.kserve.controller import ISVC, NAMESPACE, POD, answer_predictions
from tests.serving.kube.dying import Killed, dying
from tests.serving.kube.rights import asked, granted

ROUTE = kind_of(HTTP_ROUTE.api, HTTP_ROUTE.kind)
INGRESS = kind_of("networking.k8s.io/v1", "Ingress")
RECORDINGS = Path(os.environ["COALMINE_SHARED"]) / "recordings"


@dataclass
class Played:
    """A cluster with one service in Standard mode, and KServe's controller.

    Attributes:
        api: The API server.
        kube: A client.
        routes: Whether the cluster routes a canary; no release of KServe that was recorded does.
        gateway: Whether KServe makes HTTPRoutes; else an Ingress.
        bad: Images that never come up.
    """

    api: KubeApi
    kube: Kube
    routes: bool = False
    gateway: bool = True
    bad: set[str] = field(default_factory=set)

    def apply(self, **predictor: Any) -> None:
        model = {"modelFormat": {"name": "bento"}, "name": "", "runtime": "bento", "image": V1}
        body: Object = {"apiVersion": ISVC.api_version, "kind": "InferenceService"}
        mode = {"serving.kserve.io/deploymentMode": "Standard"}
        body["metadata"] = {"name": "iris", "annotations": mode}
        body["spec"] = {"predictor": predictor or {"model": model, "minReplicas": 2}}
        self.api.store.create(body, NAMESPACE, manager="kubectl")
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
        seen = Standard(service)
        stable = seen.service_of(seen.name)
        self._run(stable, seen.image)
        split, statuses = {stable: 100}, []
        for canary in seen.canaries:
            predictor, share = canary["predictor"], canary["trafficPercent"]
            name = seen.service_of(predictor["name"])
            up = self._run(name, predictor["model"]["image"])
            statuses.append({"name": predictor["name"], "ready": up, "trafficPercent": share})
            if self.routes and up and share:
                split = {stable: 100 - share, name: share}
        self._lead(split)
        ready = {"type": "Ready", "status": "True"}
        status: Object = {"conditions": [ready], "deploymentMode": "Standard", "url": "http://iris"}
        if statuses:
            status["canaryStatuses"] = statuses
        self.api.store.set_status(service, status)

    def _run(self, name: str, image: str) -> bool:
        made = {one["metadata"]["name"] for one in self.api.store.list(POD, NAMESPACE)[0]}
        up = image not in self.bad
        if name not in made:
            metadata = {"name": name, "labels": {"app": f"isvc.{name}"}}
            pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}
            self.api.store.create(pod, NAMESPACE)
            waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "none"}}
            state = {"name": "kserve-container", "state": {"running": {}} if up else waiting}
            ready = {"type": "Ready", "status": "True" if up else "False"}
            found = self.api.store.get(POD, NAMESPACE, name)
            self.api.store.set_status(found, {"conditions": [ready], "containerStatuses": [state]})
        return up

    def _lead(self, split: dict[str, int]) -> None:
        if self.gateway:
            refs = [{"name": name, "port": 80, "weight": share} for name, share in split.items()]
            body: Object = {"apiVersion": ROUTE.api_version, "kind": "HTTPRoute"}
            body["spec"] = {"rules": [{"backendRefs": refs}]}
        else:
            backend = {"service": {"name": next(iter(split)), "port": {"number": 80}}}
            body = {"apiVersion": INGRESS.api_version, "kind": "Ingress"}
            body["spec"] = {"rules": [{"http": {"paths": [{"backend": backend}]}}]}
        kind = ROUTE if self.gateway else INGRESS
        if not self.api.store.list(kind, NAMESPACE)[0]:
            self.api.store.create(body | {"metadata": {"name": "iris"}}, NAMESPACE)
        spec = {"spec": body["spec"]}
        self.api.store.update(kind, NAMESPACE, "iris", lambda now: now | spec)

    def backend(self, kube: Kube | None = None) -> StandardServing:
        ticks = itertools.count()
        return StandardServing(
            kube or self.kube,
            StandardMoves(NAMESPACE),
            timing=Timing(timeout=25, clock=lambda: float(next(ticks)), sleep=self.step),
            now=lambda: datetime(2026, 1, 31, 12, tzinfo=UTC),
        )


def new_played(*, routes: bool = False) -> Played:
    api = direct_api()
    answer_predictions(api)
    return Played(api, Kube(direct_client(api), NAMESPACE, sleep=lambda _: None), routes)


@pytest.fixture
def played() -> Iterator[Played]:
    made = new_played()
    yield made
    made.kube.close()


def canary(
    backend: StandardServing, image: str = V2, release: str = "r1", percent: int = 10
) -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version=release, percent=percent, release_id=release
    )


@pytest.mark.parametrize("gateway", [True, False], ids=["HTTPRoute", "Ingress"])
def test_where_it_is_not_routed_the_canary_is_taken_out_and_it_is_said(
    played: Played, gateway: bool
) -> None:
    played.gateway = gateway
    played.apply()
    before = played.service()["spec"]
    with pytest.raises(InputError) as caught:
        canary(played.backend())
    assert "leads no traffic to a canary" in caught.value.message
    assert "{'iris-predictor': 100}" in caught.value.message
    assert "gateway" in caught.value.fix
    assert played.service()["spec"] == before
    assert Ownership(played.kube).holder("iris") == ""
    assert played.backend().rollback(service="iris", release_id="r1") is not None


def test_where_it_is_routed_it_climbs_and_is_promoted(played: Played) -> None:
    played.routes = True
    played.apply()
    record = canary(played.backend())
    assert (record.stable, record.canary) == ("iris-predictor", "iris-r1-predictor")
    made = played.service()["spec"]["canary"]
    assert faults({k: v for k, v in played.service().items() if k != "status"}) == []
    assert [(one["predictor"]["name"], one["trafficPercent"]) for one in made] == [("r1", 10)]
    assert "minReplicas" not in made[0]["predictor"]
    played.backend().set_traffic(service="iris", percent=50, release_id="r1")
    shares = {share.revision: share.percent for share in played.backend().observe("iris").shares}
    assert shares == {"iris-predictor": 50, "iris-r1-predictor": 50}
    played.backend().promote(service="iris", release_id="r1")
    spec = played.service()["spec"]
    assert "canary" not in spec
    assert (spec["predictor"]["name"], spec["predictor"]["minReplicas"]) == ("r1", 2)
    assert spec["predictor"]["model"]["image"] == V2
    record = canary(played.backend(), V3, "r2")
    assert (record.stable, record.stable_version) == ("iris-r1-predictor", "r1")
    played.backend().rollback(service="iris", release_id="r2")
    assert played.service()["spec"] == spec


@pytest.mark.parametrize("end", ["promote", "rollback"])
def test_finalize_is_right_from_every_state(end: str) -> None:
    killed, left = True, 0
    while killed:
        played = new_played(routes=True)
        played.apply()
        before = played.service()["spec"]
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
        spec = played.service()["spec"]
        assert "canary" not in spec
        assert spec["predictor"]["model"]["image"] == (V2 if promoted else V1)
        assert promoted or spec == before
        assert Ownership(played.kube).holder("iris") == ""
        left += 1
    assert left > 6


def test_a_canary_that_does_not_come_up_says_why(played: Played) -> None:
    played.apply()
    played.bad.add(V2)
    with pytest.raises(InputError, match="ImagePullBackOff"):
        canary(played.backend())
    played.backend().rollback(service="iris", release_id="r1")
    assert "canary" not in played.service()["spec"]


def test_what_others_change_is_named_and_not_overwritten(played: Played) -> None:
    played.routes = True
    played.apply()
    canary(played.backend())
    played.edit(lambda now: now["spec"]["predictor"].update(minReplicas=5))
    with pytest.raises(InputError, match=r"predictor was changed \(last written by kubectl-edit"):
        played.backend().set_traffic(service="iris", percent=20, release_id="r1")
    played.edit(lambda now: now["spec"]["canary"][0]["predictor"].update(name="other"))
    played.backend().rollback(service="iris", release_id="r1")
    assert played.service()["spec"]["canary"][0]["predictor"]["name"] == "other"
    with pytest.raises(CoalmineError, match="a canary that no release owns"):
        canary(played.backend(), V3, "r2")


def test_what_cannot_have_such_a_canary_is_refused(played: Played) -> None:
    with pytest.raises(InputError, match="there is no InferenceService iris"):
        canary(played.backend())
    played.apply(containers=[{"name": "kserve-container", "image": V1}])
    with pytest.raises(InputError, match="has containers of its own"):
        canary(played.backend())
    played.edit(lambda now: now["metadata"].update(annotations={}))
    played.api.store.set_status(played.service(), {})
    with pytest.raises(InputError, match="does not run in KServe's Standard mode"):
        canary(played.backend())


def test_the_shipped_role_is_what_releases_ask_for(played: Played) -> None:
    played.gateway = False
    played.apply()
    with pytest.raises(InputError):
        canary(played.backend())
    played.bad.add(V3)
    with pytest.raises(CoalmineError):
        canary(played.backend(), V3, "r2")
    # Why a container ended is read from its log, which no pod here has.
    assert asked(played.api) == granted("kserve-standard.yaml") - {("", "pods/log", "get")}


@pytest.mark.parametrize("name", ["spec-canary", "spec-canary-gatewayapi"])
def test_what_was_recorded_is_seen_as_unrouted(name: str) -> None:
    path = RECORDINGS / f"kserve-standard-{name}.jsonl"
    if not path.exists():
        pytest.skip("the recordings of a real cluster are not here")
    latest: dict[str, Object] = {}
    seen_with_canary = 0
    for line in filter(str.strip, path.read_text().splitlines()):
        found = json.loads(line).get("object")
        if found is None or found["metadata"]["name"] != "iris-can":
            continue
        latest[found["kind"]] = found
        seen = Standard(
            latest.get("InferenceService"), latest.get("HTTPRoute"), latest.get("Ingress")
        )
        for one in seen.canaries:
            name_of_it = one["predictor"]["name"]
            seen_with_canary += seen.is_up(name_of_it)
            assert seen.service_of(name_of_it) not in seen.split
    assert seen_with_canary, "a canary was ready, and got nothing"
