"""Releases on KServe in Knative mode; the controllers do what real ones were seen to do."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kserve.seen import Seen, image_of_revision
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase, ReleaseRecord
from tests.kubeapi.kinds import kind_of
from tests.serving.kserve.conftest import NOW, V1, V2, V3, World
from tests.serving.kserve.controller import NAMESPACE, service_of

REVISION = kind_of("serving.knative.dev/v1", "Revision")


def canary(
    backend: KubeServing[Seen], image: str = V2, release: str = "r1", percent: int = 10
) -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version="2", percent=percent, release_id=release
    )


def test_a_canary_gets_its_share_once_it_has_answered(world: World) -> None:
    world.serving()
    asked: list[tuple[str, dict[str, int]]] = []
    answer = world.api.app.pods

    def answers(pod: str, method: str, path: str, body: Any) -> tuple[int, str]:
        asked.append((path, world.played.shares()))
        return answer(pod, method, path, body)

    world.api.app.pods = answers
    record = canary(world.backend())
    assert (record.phase, record.canary, record.stable) == (
        Phase.CANARY,
        "iris-predictor-00002",
        "iris-predictor-00001",
    )
    assert record.canary_since == NOW
    assert world.played.shares() == {V1: 90, V2: 10}
    # Nobody but us had asked it by then.
    assert asked == [("/docs.json", {V1: 100, V2: 0}), ("/predict", {V1: 100, V2: 0})]
    assert Ownership(world.kube).holder("iris") == "r1"


def test_a_promotion_makes_no_revision_and_leaves_no_percent(world: World) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    record = backend.promote(service="iris", release_id="r1")
    assert record.phase is Phase.PROMOTED
    assert world.asked() == (V2, None)
    assert (world.played.shares(), len(world.played.images)) == ({V2: 100}, 2)
    assert Ownership(world.kube).holder("iris") == ""
    assert backend.rollback(service="iris", release_id="r1") == record
    assert world.played.shares() == {V2: 100}


def test_a_roll_back_never_gives_the_canary_more_than_its_share(world: World) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    record = backend.rollback(service="iris", release_id="r1")
    assert record is not None
    assert record.phase is Phase.ROLLED_BACK
    assert world.asked() == (V1, None)
    assert world.played.shares() == {V1: 100}
    assert world.worst[V2] == 10


def test_only_the_image_and_the_percent_are_written(world: World) -> None:
    world.serving(minReplicas=2, serviceAccountName="s3", tolerations=[{"key": "gpu"}])
    before = Seen(world.service()).rest()
    backend = world.backend()
    canary(backend)
    backend.promote(service="iris", release_id="r1")
    assert Seen(world.service()).rest() == before
    patched = [
        operation["path"]
        for _, body in world.api.said("PATCH", "inferenceservices")
        for operation in body
        if operation["op"] != "test"
    ]
    assert set(patched) == {
        "/spec/predictor/containers/0/image",
        "/spec/predictor/canaryTrafficPercent",
    }


def test_the_share_is_changed_in_steps(world: World) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    assert backend.set_traffic(service="iris", percent=50, release_id="r1").percent == 50
    assert world.played.shares() == {V1: 50, V2: 50}
    assert len(world.played.images) == 2


def test_every_step_may_come_twice(world: World) -> None:
    world.serving()
    backend = world.backend()
    assert canary(backend) == canary(backend)
    first = backend.rollback(service="iris", release_id="r1")
    assert first == backend.rollback(service="iris", release_id="r1")
    with pytest.raises(CoalmineError, match="has ended as rolled_back"):
        canary(backend)
    # The same version once more is a new release.
    assert canary(backend, release="r2").phase is Phase.CANARY


def test_a_first_release_is_made_from_the_template_and_removed_if_bad(world: World) -> None:
    template = service_of("", canaryTrafficPercent=10)
    backend = world.backend(template=template)
    record = canary(backend)
    assert (record.stable, record.percent) == ("", 100)
    assert world.asked() == (V2, None)
    assert world.played.shares() == {V2: 100}
    assert backend.rollback(service="iris", release_id="r1") is not None
    assert world.kube.get(backend._moves._resource, "iris") is None  # type: ignore[attr-defined]
    assert canary(backend, V3, "r2").phase is Phase.CANARY
    backend.promote(service="iris", release_id="r2")
    assert world.played.shares() == {V3: 100}


def test_without_a_template_there_is_no_first_release(world: World) -> None:
    with pytest.raises(InputError, match="template"):
        canary(world.backend())
    assert world.api.store.list(kind_of("v1", "ConfigMap"))[0] == []


def test_a_service_that_never_served_gets_its_image_back(world: World) -> None:
    world.played.bad.add(V1)
    world.serving(V1, canaryTrafficPercent=10)
    backend = world.backend()
    record = canary(backend)
    assert record.stable == ""
    assert world.played.shares() == {V2: 100}
    backend.rollback(service="iris", release_id="r1")
    assert world.asked() == (V1, None)


@pytest.mark.parametrize("end", ["promote", "rollback"])
def test_a_canary_that_scales_to_zero_is_kept_awake_while_it_is_judged(
    world: World, end: str
) -> None:
    world.serving(minReplicas=0)
    backend = world.backend()
    record = canary(backend)

    def least() -> str:
        revision = world.api.store.get(REVISION, NAMESPACE, record.canary)
        return str(revision["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"])

    assert least() == "1"
    getattr(backend, end)(service="iris", release_id="r1")
    assert least() == "0"
    assert len(world.played.images) == (2 if end == "promote" else 3)
    assert Seen(world.service()).predictor["minReplicas"] == 0


def test_a_canary_that_answers_wrongly_gets_no_traffic(world: World) -> None:
    world.serving()
    world.api.app.pods = lambda *_: (500, "no model")
    with pytest.raises(CoalmineError, match="answered 500 to /readyz: no model"):
        canary(world.backend())
    assert V2 not in world.worst or world.worst[V2] == 0
    world.backend().rollback(service="iris", release_id="r1")
    assert world.asked() == (V1, None)


def test_a_second_release_waits_for_the_first(world: World) -> None:
    world.serving()
    canary(world.backend())
    with pytest.raises(CoalmineError, match="owned by the release r1"):
        canary(world.backend(), V3, "r2")
    assert world.asked() == (V2, 10)
    assert world.backend().rollback(service="iris", release_id="r2") is None
    assert world.asked() == (V2, 10)


def test_a_release_is_taken_over_by_force_alone(world: World) -> None:
    world.serving()
    canary(world.backend())
    record = canary(world.backend(force=True), V3, "r2")
    assert record.stable == "iris-predictor-00003"
    assert world.played.shares() == {V1: 90, V3: 10}
    assert world.worst[V2] == 10
    with pytest.raises(CoalmineError, match="does not own"):
        world.backend().promote(service="iris", release_id="r1")
    assert world.backend().rollback(service="iris", release_id="r1") is None
    world.backend().promote(service="iris", release_id="r2")
    assert world.played.shares() == {V3: 100}


def test_a_canary_that_nobody_owns_is_not_overwritten(world: World) -> None:
    world.serving()
    world.edit(lambda now: now["spec"]["predictor"].update(canaryTrafficPercent=20))
    world.edit(lambda now: now["spec"]["predictor"]["containers"][0].update(image=V3))
    world.played.settle()
    with pytest.raises(CoalmineError, match=r"no release owns.*kubectl-edit"):
        canary(world.backend())
    assert world.asked() == (V3, 20)
    assert canary(world.backend(force=True)).phase is Phase.CANARY
    world.backend().rollback(service="iris", release_id="r1")
    assert world.asked() == (V1, None)


def test_a_failed_rollout_is_no_reason_to_be_stuck(world: World) -> None:
    world.played.bad.add(V3)
    world.serving()
    world.edit(lambda now: now["spec"]["predictor"]["containers"][0].update(image=V3))
    world.played.settle()
    canary(world.backend())
    assert world.played.shares() == {V1: 90, V2: 10}
    world.backend().rollback(service="iris", release_id="r1")
    assert world.asked() == (V1, None)


@pytest.mark.parametrize("image", ["registry.example.com/iris:v2", "file:///images/iris"])
def test_an_image_is_named_by_its_digest(world: World, image: str) -> None:
    with pytest.raises(InputError, match="names no digest"):
        canary(world.backend(), image)


def test_standard_mode_is_refused_with_the_way_out(world: World) -> None:
    service = service_of(V1)
    service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "RawDeployment"
    world.api.store.create(service, NAMESPACE)
    with pytest.raises(InputError, match="ignores it") as caught:
        canary(world.backend())
    assert "gateway" in caught.value.fix


def test_standard_mode_by_a_clusters_default_is_refused_too(world: World) -> None:
    """As KServe before 0.16 tells it: no annotation, no mode in the status, and no revisions."""
    service = service_of(V1)
    service["metadata"].pop("annotations")
    made = world.api.store.create(service, NAMESPACE, manager="kubectl")
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "url": "http://iris"}
    world.api.store.set_status(made, ready)
    with pytest.raises(InputError, match="without a Knative revision") as refused:
        canary(world.backend())
    assert "gateway" in refused.value.fix
    assert world.asked() == (V1, None)


@pytest.mark.parametrize("name", ["kserve-container", "kfserving-container"])
def test_of_several_containers_the_one_that_serves_is_released(name: str) -> None:
    beside = {"name": "agent", "image": "agent"}
    containers = [beside, {"name": name, "image": V1}]
    seen = Seen(service_of("", containers=containers))
    assert (seen.index, seen.image) == (1, V1)
    assert image_of_revision({"spec": {"containers": containers}}) == V1
    assert '"agent"' in seen.rest()


@pytest.mark.parametrize(
    "predictor",
    [
        {"containers": [{"name": "a", "image": V1}, {"name": "b", "image": V1}]},
        {"model": {"modelFormat": {"name": "sklearn"}}},
        {"containers": []},
    ],
)
def test_no_sidecar_is_taken_for_what_serves(world: World, predictor: dict[str, Any]) -> None:
    world.api.store.create(service_of(V1, **predictor), NAMESPACE, manager="kubectl")
    with pytest.raises(InputError, match="no container that serves"):
        canary(world.backend())
    assert not world.api.said("PATCH", "inferenceservices")


def test_the_image_that_serves_is_not_released(world: World) -> None:
    world.serving()
    with pytest.raises(InputError, match="nothing to try"):
        canary(world.backend(), V1)


def test_what_is_routed_is_observed(world: World) -> None:
    world.serving()
    backend = world.backend()
    assert backend.observe("other").shares == ()
    canary(backend)
    observed = backend.observe("iris")
    assert observed.url == "http://iris.ml.example.com"
    assert [(s.revision[-5:], s.version, s.percent) for s in observed.shares] == [
        ("00002", "2", 10),
        ("00001", "", 90),
    ]
