"""A promotion that is decided and can never be routed is taken back, and blocks nobody."""

from __future__ import annotations

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.store import Object
from tests.serving.gateway.world import (
    DEPLOYMENT,
    NAMESPACE,
    ROUTE,
    V2,
    V3,
    World,
    canary,
)
from tests.serving.kube.dying import Killed, dying


@pytest.fixture
def decided(adopted: World) -> World:
    """A release whose promotion is written down; the process ended before the route moved."""
    canary(adopted.backend())
    alive, adopted.kube = adopted.kube, dying(adopted.kube, 1)
    with pytest.raises(Killed):
        adopted.backend().promote(service="iris", release_id="r2")
    adopted.kube = alive
    return adopted


def phase(world: World) -> Phase:
    kept = Ownership(world.kube).read("iris")
    assert kept
    return kept.record.phase


def lose(world: World) -> None:
    world.api.store.delete(DEPLOYMENT, NAMESPACE, "iris-r2")
    world.step()


def test_a_lost_canary_gets_no_traffic_back(decided: World) -> None:
    assert phase(decided) is Phase.PROMOTED
    lose(decided)
    with pytest.raises(InputError, match=r"promotion of r2 was taken back: .* iris-r2 is gone"):
        decided.backend().promote(service="iris", release_id="r2")
    assert phase(decided) is Phase.ROLLED_BACK
    assert decided.split() == {"iris-v1": 100}
    assert Ownership(decided.kube).holder("iris") == ""


def test_finalize_takes_it_back_as_well(decided: World) -> None:
    decided.broken.add(V2)
    decided.step()
    for _ in range(2):
        record = decided.backend().rollback(service="iris", release_id="r2")
        assert record
        assert record.phase is Phase.ROLLED_BACK
    assert decided.split() == {"iris-v1": 100}
    assert decided.names(DEPLOYMENT) == ["iris-v1"]


def test_the_next_release_does_not_wait_for_it(decided: World) -> None:
    lose(decided)
    canary(decided.backend(), "r3", V3)
    assert decided.split() == {"iris-v1": 90, "iris-r3": 10}
    assert Ownership(decided.kube).holder("iris") == "r3"


def test_a_canary_that_comes_back_in_time_is_promoted(decided: World) -> None:
    decided.broken.add(V2)
    decided.step()
    decided.broken.clear()
    decided.backend().promote(service="iris", release_id="r2")
    assert phase(decided) is Phase.PROMOTED
    assert decided.split() == {"iris-r2": 100}
    assert decided.unserved == []


def test_weights_of_a_person_are_not_taken_back(decided: World) -> None:
    def half(now: Object) -> None:
        for ref in now["spec"]["rules"][0]["backendRefs"]:
            ref["weight"] = 50

    decided.edit(ROUTE, "iris", half)
    with pytest.raises(InputError, match=r"managed by .*kubectl-edit"):
        decided.backend().promote(service="iris", release_id="r2")
    assert phase(decided) is Phase.PROMOTED
    assert decided.split() == {"iris-v1": 50, "iris-r2": 50}


def test_a_route_that_a_person_led_elsewhere_ends_the_release(decided: World) -> None:
    def elsewhere(now: Object) -> None:
        now["spec"]["rules"] = [{"backendRefs": [{"name": "other", "port": 1}]}]

    decided.edit(ROUTE, "iris", elsewhere)
    decided.backend().promote(service="iris", release_id="r2")
    assert decided.split() == {"other": 100}
    assert Ownership(decided.kube).holder("iris") == ""
