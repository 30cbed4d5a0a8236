"""Killed before any write of any step, and what else goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.flagger.analysis import STOP
from coalmine.serving.flagger.backend import FlaggerServing
from coalmine.serving.kube.client import Change, Kube, Object
from coalmine.serving.kube.ownership import NotOwnerError, Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.status import ApiError, conflict, denied, gone, not_found, too_many
from tests.serving.flagger.conftest import V1, V2, V3, World, new_world, release
from tests.serving.flagger.controller import CANARY
from tests.serving.flagger.deployments import DEPLOYMENT, NAMESPACE
from tests.serving.kube.dying import Killed, dying

Step = Callable[[FlaggerServing], object]
STEPS: dict[str, list[Step]] = {
    "promote": [release, lambda b: b.promote(service="iris", release_id="r1")],
    "rollback": [release, lambda b: b.rollback(service="iris", release_id="r1")],
}


def killed(world: World, steps: list[Step], left: int) -> bool:
    kube = dying(world.kube, left)
    try:
        for step in steps:
            step(world.backend(kube=kube))
    except Killed:
        return True
    return False


def first_kill(path: str) -> int:
    """Where to begin: how a canary is killed is the same before a promotion and a roll-back."""
    if path == "promote":
        return 0
    world = new_world()
    world.driven()
    kube = dying(world.kube, 10**6)
    release(world.backend(kube=kube))
    return kube.writes


@pytest.mark.parametrize(
    ("path", "driven"), [("promote", False), ("rollback", True)], ids=["promote", "rollback"]
)
def test_finalize_is_right_from_every_state(path: str, driven: bool) -> None:
    again, left = True, first_kill(path)
    while again:
        world = new_world()
        world.driven() if driven else world.serving()
        again = killed(world, STEPS[path], left)
        if left % 2:  # Flagger may or may not have seen the last write.
            world.step()
        for _ in range(2):
            world.backend(analysis=None).rollback(service="iris", release_id="r1")
        for _ in range(12):
            world.step()
        kept = Ownership(world.kube).read("iris")
        promoted = bool(kept and kept.record.phase is Phase.PROMOTED)
        wanted = V2 if promoted else V1
        assert world.flagger.shares() == {wanted: 100}, left
        assert world.flagger.image("iris") == wanted
        assert STOP not in str(world.api.store.list(CANARY, NAMESPACE)[0])
        assert Ownership(world.kube).holder("iris") == ""
        assert release(world.backend(), V3, "r2").phase is Phase.CANARY
        left += 1
    assert left > 6


@pytest.mark.parametrize(
    "fault",
    [conflict(CANARY, "iris"), too_many(1), gone(1, 2), Reset.BEFORE, Reset.AFTER],
    ids=["409", "429", "410", "reset before", "reset after"],
)
def test_faults_of_the_server_are_survived(world: World, fault: ApiError | Reset) -> None:
    world.serving()
    for method, place in [
        *(("GET", kind) for kind in ("configmaps", "canaries", "deployments", "metrictemplates")),
        *(("POST", kind) for kind in ("configmaps", "leases", "canaries", "metrictemplates")),
        *(("PUT", kind) for kind in ("configmaps", "leases")),
        *(("PATCH", kind) for kind in ("deployments", "canaries")),
    ]:
        made = Fault(method, place)
        if isinstance(fault, Reset):
            made.reset = fault
        else:
            made.refusal = fault
        world.api.faults.add(made)
    release(world.backend(timeout=60))
    world.backend(timeout=60).promote(service="iris", release_id="r1")
    assert world.flagger.shares() == {V2: 100}
    release(world.backend(timeout=60), V3, "r2")
    world.backend(timeout=60).rollback(service="iris", release_id="r2")
    assert world.flagger.shares() == {V2: 100}


def test_a_webhooks_refusal_ends_the_release_and_is_told(world: World) -> None:
    world.driven()
    refusal = denied("policy.example.com", "images come from the registry prod alone")
    world.api.faults.add(Fault("PATCH", "deployments", refusal))
    with pytest.raises(CoalmineError, match="images come from"):
        release(world.backend())
    world.backend().rollback(service="iris", release_id="r1")
    assert world.flagger.image("iris") == V1


def test_a_run_of_another_change_is_not_this_releases(world: World) -> None:
    """What Flagger had seen last was noted, the image never set; then somebody changed the rest."""
    world.driven()
    refusal = denied("policy.example.com", "not today")
    world.api.faults.add(Fault("PATCH", "deployments", refusal))
    with pytest.raises(CoalmineError, match="not today"):
        release(world.backend())
    world.edit(
        DEPLOYMENT, lambda now: now["spec"]["template"]["spec"]["containers"][0].update(env=[])
    )
    for looks in range(12):
        world.step()
        if looks == 2:
            assert world.flagger.phase == "Progressing"
            world.backend().rollback(service="iris", release_id="r1")
            assert STOP not in str(world.canary()["spec"]), "it is not ours to end"
    assert world.flagger.phase == "Succeeded"
    ended = world.backend().rollback(service="iris", release_id="r1")
    assert ended is not None
    assert ended.phase is Phase.REMOVED


def test_a_promotion_that_begins_while_the_release_is_ended_is_taken_back(world: World) -> None:
    """It began to promote between our last look and the record: the former image is tried anew."""
    world.driven()
    release(world.backend())

    class Late(Kube):
        def write(self, change: Change) -> Object:
            if change.method == "PUT" and "rolled_back" in str(change.body):
                while world.flagger.phase != "Promoting":
                    world.step()
            return super().write(change)

    late = Late(world.kube._http, NAMESPACE, sleep=lambda _: None)
    ended = world.backend(kube=late, timeout=60).rollback(service="iris", release_id="r1")
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK
    assert world.flagger.shares() == {V1: 100}
    assert STOP not in str(world.canary())


def test_a_step_that_outlives_its_release_undoes_what_it_still_wrote(world: World) -> None:
    world.driven()

    class Slow(Kube):
        done = False

        def write(self, change: Change) -> Object:
            if "deployments" in change.path and not self.done:
                self.done = True
                world.backend().rollback(service="iris", release_id="r1")
            return super().write(change)

    with pytest.raises(NotOwnerError, match="ended as removed meanwhile"):
        release(world.backend(kube=Slow(world.kube._http, NAMESPACE, sleep=lambda _: None)))
    for _ in range(8):
        world.step()
    assert world.flagger.shares() == {V1: 100}
    assert world.flagger.image("iris") == V1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"suspend": True}, "is suspended"),
        ({"skipAnalysis": True}, "skips its analysis"),
    ],
)
def test_a_canary_that_judges_nothing_is_refused(
    world: World, change: dict[str, bool], told: str
) -> None:
    world.driven()
    world.edit(CANARY, lambda now: now["spec"].update(change))
    with pytest.raises(InputError, match=told):
        release(world.backend())
    assert world.flagger.image("iris") == V1
    assert Ownership(world.kube).holder("iris") == ""


def test_a_run_that_no_release_began_is_left_alone(world: World) -> None:
    world.driven()
    world.set_image(V3)
    world.step()
    with pytest.raises(CoalmineError, match=r"no release has made \(last written by kubectl\)"):
        release(world.backend())
    assert world.flagger.image("iris") == V3
    world.flagger.bad.add(V3)
    for _ in range(12):
        world.step()
    with pytest.raises(InputError, match="tries no image twice"):
        release(world.backend(), V3)
    # What a person tried and Flagger took back is ours to replace.
    release(world.backend())
    world.backend().rollback(service="iris", release_id="r1")
    assert world.flagger.image("iris") == V1


def test_two_canaries_of_one_deployment_are_refused(world: World) -> None:
    world.driven()
    other = world.canary()
    other["metadata"] = {"name": "second"}
    world.api.store.create(other, NAMESPACE)
    with pytest.raises(InputError, match=r"several Canaries .* iris, second"):
        release(world.backend())


def test_a_cluster_without_flagger_is_told_so(world: World) -> None:
    world.serving()
    missing = not_found(CANARY, "x")
    for place in (r"flagger\.app/v1beta1/namespaces", r"flagger\.app/v1beta1$"):
        world.api.faults.add(Fault("GET", place, missing, times=None))
    with pytest.raises(InputError, match="Flagger is not installed"):
        release(world.backend())


def test_what_others_change_meanwhile_is_not_overwritten(world: World) -> None:
    world.driven()
    release(world.backend())
    world.set_image(V3)
    with pytest.raises(InputError, match=f"its image was set to {V3}"):
        world.backend().set_traffic(service="iris", percent=20, release_id="r1")
    world.backend().rollback(service="iris", release_id="r1")
    assert world.flagger.image("iris") == V3
    assert STOP not in str(world.canary())


@pytest.mark.parametrize("what", ["env", "canary", "deployment"])
def test_what_is_not_as_the_release_left_it_is_not_promoted(world: World, what: str) -> None:
    world.driven()
    release(world.backend())
    if what == "env":
        world.edit(
            DEPLOYMENT,
            lambda now: now["spec"]["template"]["spec"]["containers"][0].update(env=[]),
        )
    else:
        kind = CANARY if what == "canary" else DEPLOYMENT
        world.api.store.delete(kind, NAMESPACE, "iris")
    with pytest.raises(InputError, match=r"was changed|was deleted"):
        world.backend().set_traffic(service="iris", percent=20, release_id="r1")
    ended = world.backend().rollback(service="iris", release_id="r1")
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK


def test_another_release_waits_or_takes_over(world: World) -> None:
    world.driven()
    release(world.backend())
    with pytest.raises(CoalmineError, match="owned by the release r1"):
        release(world.backend(), V3, "r2")
    release(world.backend(force=True, timeout=60), V3, "r2")
    assert world.backend().rollback(service="iris", release_id="r1") is None
    world.backend().promote(service="iris", release_id="r2")
    assert world.flagger.shares() == {V3: 100}
