from __future__ import annotations

from dataclasses import replace

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.flagger.analysis import STOP
from coalmine.serving.flagger.run import Ruled, ruling_of
from coalmine.serving.flagger.seen import Seen
from coalmine.serving.flagger.template import template_of
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase, ReleaseRecord
from tests.serving.flagger.conftest import (
    ANALYSIS,
    V1,
    V2,
    V3,
    World,
    canary_of,
    deployment,
    release,
)
from tests.serving.flagger.controller import CANARY, TEMPLATE
from tests.serving.flagger.deployments import DEPLOYMENT, NAMESPACE


def finish(world: World, times: int = 12) -> None:
    for _ in range(times):
        world.step()


def test_a_release_is_promoted_once_flagger_says_so(world: World) -> None:
    world.driven()
    backend = world.backend()
    record = release(backend)
    assert (record.phase, record.canary, record.stable) == (Phase.CANARY, "iris", "iris-primary")
    assert world.flagger.phase == "Progressing"
    shares = {share.revision: share.percent for share in backend.observe("iris").shares}
    assert shares == {"iris": 20, "iris-primary": 80}
    assert backend.ruling(service="iris", release_id="r1").ruled is Ruled.OPEN
    assert backend.promote(service="iris", release_id="r1").phase is Phase.PROMOTED
    assert world.flagger.phase == "Succeeded"
    assert world.flagger.shares() == {V2: 100}
    observed = backend.observe("iris")
    assert [(s.revision, s.version, s.percent) for s in observed.shares] == [
        ("iris-primary", "r1", 100)
    ]
    assert observed.url == "http://iris.ml:80"
    assert Ownership(world.kube).holder("iris") == ""


def test_a_former_success_is_not_taken_for_this_releases_verdict(world: World) -> None:
    world.driven()
    release(world.backend())
    world.backend().promote(service="iris", release_id="r1")
    assert world.flagger.phase == "Succeeded"
    world.flagger.bad.add(V3)
    release(world.backend(), V3, "r2")
    finish(world)
    ruling = world.backend().ruling(service="iris", release_id="r2")
    assert (ruling.ruled, world.flagger.phase) == (Ruled.FAILED, "Failed")
    assert "error_rate 0.50 > 0.01" in ruling.reason
    with pytest.raises(InputError, match="cannot be promoted"):
        world.backend().promote(service="iris", release_id="r2")
    last = world.backend().rollback(service="iris", release_id="r2")
    assert last is not None
    assert last.phase is Phase.ROLLED_BACK
    assert world.flagger.shares() == {V2: 100}
    assert world.flagger.image("iris") == V2


def test_a_failed_image_can_be_released_again(world: World) -> None:
    world.driven()
    world.flagger.bad.add(V2)
    release(world.backend())
    finish(world)
    world.backend().rollback(service="iris", release_id="r1")
    world.flagger.bad.clear()
    release(world.backend(), V2, "r2")
    world.backend().promote(service="iris", release_id="r2")
    assert world.flagger.shares() == {V2: 100}


def test_a_hash_that_is_taken_over_before_the_run_is_no_verdict() -> None:
    """A Canary that failed before copies the new hash first, and may begin never."""
    record = ReleaseRecord("iris", "r1", Phase.CANARY, "iris", V2, "v2", "iris-primary")
    kept = Kept(record, {"turn": "False t3", "applied": "old", "container": "bento"})

    def said(turn: str, applied: str, phase: str = "Failed") -> Ruled:
        status, _, moment = turn.partition(" ")
        condition = {"type": "Promoted", "status": status, "lastTransitionTime": moment}
        told = {"phase": phase, "lastAppliedSpec": applied, "conditions": [condition]}
        tried = deployment(V2)
        seen = Seen("iris", target=tried, primary=tried, canaries=({"status": told},))
        return ruling_of(seen, kept).ruled

    assert said("False t3", "old") is Ruled.OPEN
    assert said("False t3", "new") is Ruled.OPEN
    assert said("Unknown t4", "new", "Progressing") is Ruled.OPEN
    assert said("False t5", "new") is Ruled.FAILED
    assert said("True t5", "new", "Succeeded") is Ruled.PASSED
    assert said("True t5", "old", "Succeeded") is Ruled.OPEN


def test_a_promotion_that_fails_is_no_promotion(world: World) -> None:
    world.driven()
    release(world.backend())
    world.flagger.lost = True
    while world.flagger.phase != "Promoting":
        world.step()
    with pytest.raises(InputError, match="iris-primary has not"):
        world.backend().rollback(service="iris", release_id="r1")
    assert world.flagger.image("iris") == V1, "the users are on the Deployment itself"
    kept = Ownership(world.kube).read("iris")
    assert kept is not None
    assert kept.record.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("looks", range(5))
def test_a_run_is_ended_from_wherever_it_is(world: World, looks: int) -> None:
    world.driven()
    before = world.canary()["spec"]
    release(world.backend())
    before_checks = world.canary()["spec"]["analysis"]
    finish(world, looks)
    record = world.backend().rollback(service="iris", release_id="r1")
    assert record is not None
    ended = {Phase.ROLLED_BACK: V1, Phase.PROMOTED: V2}[record.phase]
    finish(world)
    assert world.flagger.shares() == {ended: 100}
    assert world.flagger.image("iris") == ended
    assert world.flagger.status()["lastAppliedSpec"] == world.flagger.status()["lastPromotedSpec"]
    assert world.canary()["spec"]["analysis"] == before_checks
    assert {**world.canary()["spec"], "analysis": 0} == {**before, "analysis": 0}
    version = world.api.store.version
    world.backend().rollback(service="iris", release_id="r1")
    assert world.api.store.version == version
    # Flagger would not try an image whose hash it had noted as promoted.
    if record.phase is Phase.ROLLED_BACK:
        release(world.backend(), V2, "r2")
        world.backend().promote(service="iris", release_id="r2")
        assert world.flagger.shares() == {V2: 100}


def test_a_canary_of_the_teams_own_keeps_all_but_our_checks(world: World) -> None:
    world.driven()
    release(world.backend())
    analysis = world.canary()["spec"]["analysis"]
    assert [metric["name"] for metric in analysis["metrics"]] == [
        "request-success-rate",
        "error_rate",
    ]
    assert (analysis["threshold"], analysis["stepWeights"]) == (5, [20, 40])
    world.backend().promote(service="iris", release_id="r1")
    other = replace(
        ANALYSIS, measures=(replace(ANALYSIS.measures[0], maximum=0.05, query="max(other)"),)
    )
    template = world.api.store.get(TEMPLATE, NAMESPACE, "coalmine-iris-error-rate")
    template["spec"]["provider"]["secretRef"] = {"name": "theirs"}
    world.api.store.update(
        TEMPLATE, NAMESPACE, "coalmine-iris-error-rate", lambda now: {**now, **template}
    )
    release(world.backend(analysis=other), V3, "r2")
    metrics = world.canary()["spec"]["analysis"]["metrics"]
    assert [metric.get("thresholdRange") for metric in metrics] == [{"min": 99}, {"max": 0.05}]
    kept = world.api.store.get(TEMPLATE, NAMESPACE, "coalmine-iris-error-rate")["spec"]
    assert kept["query"] == "max(other)"
    assert kept["provider"]["secretRef"] == {"name": "theirs"}


def test_a_deployment_without_a_canary_is_given_one(world: World) -> None:
    world.serving()
    release(world.backend())
    spec = world.canary()["spec"]
    assert spec["service"] == {"port": 3000, "targetPort": 3000}
    assert spec["analysis"]["stepWeights"] == [5, 10]
    assert world.flagger.image("iris-primary") == V1
    world.backend().promote(service="iris", release_id="r1")
    assert world.flagger.shares() == {V2: 100}


def test_the_first_release_serves_at_once_and_goes_if_it_is_bad(world: World) -> None:
    own = canary_of(provider="istio")
    own["spec"]["analysis"].pop("metrics")
    template = template_of([deployment(""), own])
    record = release(world.backend(template=template), V1)
    assert (record.stable, record.canary, record.percent) == ("", "iris-primary", 100)
    assert world.flagger.shares() == {V1: 100}
    assert world.canary()["spec"]["provider"] == "istio"
    world.backend().rollback(service="iris", release_id="r1")
    finish(world, 2)
    for kind in (DEPLOYMENT, CANARY, TEMPLATE):
        assert world.api.store.list(kind, NAMESPACE)[0] == []
    release(world.backend(template=template), V1, "r2")
    world.backend().promote(service="iris", release_id="r2")
    assert release(world.backend(), V2, "r3").stable_version == "r2"


def test_a_canary_without_its_deployment_is_nobodys_first_release(world: World) -> None:
    world.driven()
    world.api.store.delete(DEPLOYMENT, NAMESPACE, "iris")
    with pytest.raises(InputError, match="the Canary iris is there"):
        release(world.backend(template=template_of([deployment("")])), V2)
    assert world.canary()["spec"]["analysis"]["metrics"][0]["name"] == "request-success-rate"
    assert world.flagger.image("iris-primary") == V1


def test_a_first_release_removes_no_canary_that_it_has_not_made(world: World) -> None:
    backend = world.backend(template=template_of([deployment("")]))
    with pytest.raises(CoalmineError, match="gave up"):
        release(world.backend(template=template_of([deployment("")]), timeout=2), V1)
    world.api.store.delete(CANARY, NAMESPACE, "iris")
    made = canary_of()
    made["metadata"]["name"] = "iris"
    world.api.store.create(made, NAMESPACE, manager="kubectl")
    backend.rollback(service="iris", release_id="r1")
    assert world.canary()["metadata"].get("labels") is None
    assert "iris" not in [
        d["metadata"]["name"] for d in world.api.store.list(DEPLOYMENT, NAMESPACE)[0]
    ]


def test_the_model_of_an_init_container_is_released(world: World) -> None:
    world.driven()
    release(world.backend(container="model"))
    pod = world.api.store.get(DEPLOYMENT, NAMESPACE, "iris")["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["image"] == V2
    assert pod["containers"][0]["image"] == V1
    world.backend().rollback(service="iris", release_id="r1")
    pod = world.api.store.get(DEPLOYMENT, NAMESPACE, "iris")["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["image"] == "old"
    with pytest.raises(InputError, match="no container or init container 'none'"):
        release(world.backend(container="none"), V3, "r2")


def test_a_canary_that_does_not_come_up_is_told_with_its_reason(world: World) -> None:
    world.driven()
    world.flagger.broken.add(V2)
    with pytest.raises(InputError, match="ImagePullBackOff"):
        release(world.backend(timeout=60))
    record = world.backend().rollback(service="iris", release_id="r1")
    assert record is not None
    assert record.phase is Phase.REMOVED
    assert world.flagger.shares() == {V1: 100}
    assert world.worst.get(V2, 0) == 0


def test_flaggers_webhooks_are_waited_for(world: World) -> None:
    world.driven()
    world.flagger.confirm = False
    with pytest.raises(CoalmineError, match="confirm-rollout"):
        release(world.backend())
    world.flagger.confirm = True
    world.flagger.promote = False
    release(world.backend())
    finish(world)
    assert world.flagger.phase == "WaitingPromotion"
    shares = {s.revision: s.percent for s in world.backend().observe("iris").shares}
    assert shares == {"iris": 40, "iris-primary": 60}, "its status says 0"
    with pytest.raises(CoalmineError, match=r"has not promoted .* within") as caught:
        world.backend(timeout=8).promote(service="iris", release_id="r1")
    assert caught.value.exit_code == 1
    world.backend().rollback(service="iris", release_id="r1")
    assert world.flagger.shares() == {V1: 100}
    assert STOP not in str(world.canary()["spec"])
