"""A release is killed between any two writes of any step, and ended by finalize."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.template import template_of
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.status import denied, gone, too_many
from tests.serving.gateway.world import (
    DEPLOYMENT,
    SERVICE,
    V3,
    World,
    adopt,
    canary,
    deployment,
    new_world,
    route,
)
from tests.serving.kube.dying import Killed, dying


@pytest.mark.parametrize(("reset", "end"), [(Reset.BEFORE, "rollback"), (Reset.AFTER, "promote")])
def test_every_write_may_be_cut_off(adopted: World, reset: Reset, end: str) -> None:
    backend = adopted.backend(preview="blue")
    writes = "(?!leases|configmaps)(deployments|services|httproutes)"
    for method in ("POST", "PATCH", "DELETE"):
        adopted.api.faults.add(Fault(method, writes, reset=reset, times=2))
        adopted.api.faults.add(Fault(method, writes, too_many(1)))
        adopted.api.faults.add(Fault(method, writes, gone(1, 2)))
    canary(backend)
    getattr(backend, end)(service="iris", release_id="r2")
    serves = "iris-r2" if end == "promote" else "iris-v1"
    assert adopted.split() == {serves: 100}
    assert len(adopted.route()["spec"]["rules"]) == 1
    assert adopted.unserved == []


def test_a_denied_write_ends_the_step_and_is_undone(adopted: World) -> None:
    adopted.api.faults.add(Fault("PATCH", "httproutes", denied("hook.example.com", "not today")))
    backend = adopted.backend()
    with pytest.raises(InputError, match="not today"):
        canary(backend)
    backend.rollback(service="iris", release_id="r2")
    assert adopted.split() == {"iris-v1": 100}
    assert adopted.names(DEPLOYMENT) == ["iris-v1"]


Step = Callable[[KubeServing[Seen]], object]
STEPS: dict[str, list[Step]] = {
    "promote": [canary, lambda backend: backend.promote(service="iris", release_id="r2")],
    "rollback": [canary, lambda backend: backend.rollback(service="iris", release_id="r2")],
}
TEMPLATE = template_of([deployment("any"), route()])
WORKLOADS = (DEPLOYMENT, SERVICE)


def run(world: World, steps: list[Step], left: int) -> bool:
    """Run steps, and kill their process before one of its writes; tells whether it was."""
    alive, world.kube = world.kube, dying(world.kube, left)
    try:
        for step in steps:
            step(world.backend(template=TEMPLATE))
    except Killed:
        return True
    finally:
        world.kube = alive
    return False


def served_after(world: World) -> str:
    kept = Ownership(world.kube).read("iris")
    if kept and kept.record.phase is Phase.PROMOTED:
        return "iris-r2"
    return "iris-v1" if "iris-v1" in world.names(DEPLOYMENT) else ""


@pytest.mark.parametrize("first", [False, True], ids=["beside a stable one", "first release"])
@pytest.mark.parametrize("path", list(STEPS))
def test_finalize_is_right_from_every_state(path: str, first: bool) -> None:
    killed, left = True, 0
    while killed:
        world = new_world() if first else adopt(new_world())
        killed = run(world, STEPS[path], left)
        if left % 2:  # The controllers may or may not have seen the last write.
            world.step()
        for _ in range(2):
            world.backend().rollback(service="iris", release_id="r2")
        serves = served_after(world)
        assert Ownership(world.kube).holder("iris") == ""
        assert world.unserved == []
        if serves:
            assert world.split() == {serves: 100}
        left_over = {name for kind in WORKLOADS for name in world.names(kind)}
        assert left_over == {serves, "iris-v1"} - {"", "iris-v1" if first else ""}
        left += 1
    assert left > 8, "the release was killed before each of its writes"


def test_the_steps_come_again_after_every_kill() -> None:
    killed, left = True, 0
    while killed:
        world = adopt(new_world())
        killed = run(world, STEPS["promote"], left)
        kept = Ownership(world.kube).read("iris")
        ended = kept is not None and kept.record.phase not in {Phase.PREPARING, Phase.CANARY}
        assert not run(world, STEPS["promote"][int(ended) :], 10**6)
        assert world.split() == {"iris-r2": 100}
        assert world.unserved == []
        left += 1
    assert left > 8


def test_finalize_touches_nothing_of_another_release(adopted: World) -> None:
    backend = adopted.backend()
    canary(backend)
    backend.rollback(service="iris", release_id="r2")
    canary(backend, "r3", V3)
    before = adopted.route()["metadata"]["resourceVersion"]
    assert backend.rollback(service="iris", release_id="r2") is None
    assert adopted.route()["metadata"]["resourceVersion"] == before
    assert Ownership(adopted.kube).holder("iris") == "r3"
