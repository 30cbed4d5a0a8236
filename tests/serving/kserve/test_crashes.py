"""A release is killed between any two writes of any step, and ended by finalize."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import Change, Kube, Object
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.status import ApiError, denied, gone, too_many
from tests.serving.kserve.conftest import V1, V2, V3, World, new_world
from tests.serving.kserve.controller import service_of
from tests.serving.kserve.test_knative import canary
from tests.serving.kube.dying import Dying, Killed, dying

Step = Callable[[KubeServing[Seen]], object]
STEPS: dict[str, list[Step]] = {
    "promote": [canary, lambda b: b.promote(service="iris", release_id="r1")],
    "rollback": [canary, lambda b: b.rollback(service="iris", release_id="r1")],
}


def first_kill(path: str, *, first: bool) -> int:
    """Where to begin: how a canary is killed is the same before a promotion and a roll-back."""
    if path == "rollback":
        return 0
    world = new_world()
    if not first:
        world.serving()
    kube = dying(world.kube, 10**6)
    run(world, [canary], kube)
    return kube.writes


def run(world: World, steps: list[Step], kube: Kube) -> bool:
    """Run steps on a client; tells whether they were killed."""
    alive, world.kube = world.kube, kube
    try:
        for step in steps:
            step(world.backend(template=service_of("")))
    except Killed:
        return True
    finally:
        world.kube = alive
    return False


@pytest.mark.parametrize("first", [False, True], ids=["beside a stable one", "first release"])
@pytest.mark.parametrize("path", list(STEPS))
def test_finalize_is_right_from_every_state(path: str, first: bool) -> None:
    killed, left = True, first_kill(path, first=first)
    while killed:
        world = new_world()
        if not first:
            world.serving()
        killed = run(world, STEPS[path], dying(world.kube, left))
        if left % 2:  # The controllers may or may not have seen the last write.
            world.step()
        for _ in range(2):
            world.backend().rollback(service="iris", release_id="r1")
        world.played.settle()
        kept = Ownership(world.kube).read("iris")
        assert Ownership(world.kube).holder("iris") == ""
        if kept and kept.record.phase is Phase.PROMOTED:
            assert (world.asked(), world.played.shares()) == ((V2, None), {V2: 100})
        elif first:
            assert world.played.shares() == {}
        else:
            assert (world.asked(), world.played.shares()) == ((V1, None), {V1: 100})
            assert world.worst.get(V2, 0) <= 10
        # The service is free for the next release.
        record = canary(world.backend(template=service_of("")), V3, "r2")
        assert record.phase is Phase.CANARY
        left += 1
    assert left > 5


@pytest.mark.parametrize("path", list(STEPS))
def test_a_step_that_was_killed_is_done_by_its_next_try(path: str) -> None:
    killed, left = True, first_kill(path, first=False)
    while killed:
        world = new_world()
        world.serving()
        killed = run(world, STEPS[path], dying(world.kube, left))
        kept = Ownership(world.kube).read("iris")
        again = STEPS[path]
        if kept and kept.record.phase not in {Phase.PREPARING, Phase.CANARY}:
            again = STEPS[path][1:]
        assert not run(world, again, world.kube)
        wanted = V2 if path == "promote" else V1
        assert (world.asked(), world.played.shares()) == ((wanted, None), {wanted: 100})
        left += 1


def test_finalize_touches_nothing_of_another_release(world: World) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    backend.rollback(service="iris", release_id="r1")
    canary(backend, V3, "r2")
    before = world.service()["metadata"]["resourceVersion"]
    assert backend.rollback(service="iris", release_id="r1") is None
    assert world.service()["metadata"]["resourceVersion"] == before
    assert Ownership(world.kube).holder("iris") == "r2"


def test_a_step_that_outlives_its_release_undoes_what_it_still_wrote(world: World) -> None:
    world.serving()

    class Slow(Dying):
        def write(self, change: Change) -> Object:
            if "inferenceservices" in change.path and not self.writes:
                self.writes = 1
                world.backend().rollback(service="iris", release_id="r1")
            return Kube.write(self, change)

    slow = Slow(world.kube._http, world.kube.namespace, sleep=lambda _: None)
    with pytest.raises(CoalmineError, match="ended as removed meanwhile"):
        run(world, [canary], slow)
    world.played.settle()
    assert (world.asked(), world.played.shares()) == ((V1, None), {V1: 100})
    assert world.worst.get(V2, 0) == 0


@pytest.mark.parametrize(
    "fault",
    [too_many(1), gone(1, 2), Reset.BEFORE, Reset.AFTER],
    ids=["429", "410", "reset before", "reset after"],
)
@pytest.mark.parametrize(
    ("method", "place"),
    [
        *(("GET", place) for place in ("configmaps", "leases", "inferenceservices", "revisions")),
        *(("POST", place) for place in ("configmaps", "leases")),
        *(("PUT", place) for place in ("configmaps", "leases")),
        *(("PATCH", place) for place in ("inferenceservices", "revisions")),
    ],
)
def test_a_fault_of_the_server_is_survived(
    world: World, method: str, place: str, fault: ApiError | Reset
) -> None:
    world.serving(minReplicas=0)
    for skip in range(2):
        count = iter(range(skip + 1, -1, -1))
        made = Fault(method, place, when=lambda c=count: next(c, 1) == 0)  # type: ignore[misc]
        if isinstance(fault, Reset):
            made.reset = fault
        else:
            made.refusal = fault
        world.api.faults.add(made)
    backend = world.backend()
    canary(backend)
    assert world.played.shares() == {V1: 90, V2: 10}
    backend.promote(service="iris", release_id="r1")
    assert (world.asked(), world.played.shares()) == ((V2, None), {V2: 100})
    assert len(world.played.images) == 2


def test_a_webhooks_refusal_ends_the_release_and_is_told(world: World) -> None:
    world.serving()
    refusal = denied("policy.example.com", "images come from registry.example.com/prod alone")
    world.api.faults.add(Fault("PATCH", "inferenceservices", refusal))
    with pytest.raises(CoalmineError, match="images come from"):
        canary(world.backend())
    assert world.asked() == (V1, None)
    world.backend().rollback(service="iris", release_id="r1")
    assert Ownership(world.kube).holder("iris") == ""
