"""A promotion that is decided and can never be routed is taken back, and blocks nobody."""

from __future__ import annotations

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.store import Object
from tests.serving.kserve.conftest import V1, V2, V3, World
from tests.serving.kserve.controller import NAMESPACE
from tests.serving.kserve.test_knative import canary
from tests.serving.kube.dying import Killed, dying

REVISION = kind_of("serving.knative.dev/v1", "Revision")


def lose(world: World, revision: str) -> None:
    """Let a revision say that its container ends again and again."""
    found = world.api.store.get(REVISION, NAMESPACE, revision)
    said = {"type": "Ready", "status": "False", "reason": "ExitCode3", "message": "no model"}
    world.api.store.set_status(found, {"conditions": [said]})


@pytest.fixture
def decided(world: World) -> World:
    """A release whose promotion is written down; the process ended before the percent went."""
    world.serving()
    canary(world.backend())
    alive, world.kube = world.kube, dying(world.kube, 1)
    with pytest.raises(Killed):
        world.backend().promote(service="iris", release_id="r1")
    world.kube = alive
    return world


def kept(world: World) -> Phase:
    found = Ownership(world.kube).read("iris")
    assert found
    return found.record.phase


def test_a_dead_canary_is_not_given_all_traffic(decided: World) -> None:
    assert kept(decided) is Phase.PROMOTED
    lose(decided, "iris-predictor-00002")
    with pytest.raises(InputError, match=r"promotion of r1 was taken back: .*no model"):
        decided.backend().promote(service="iris", release_id="r1")
    decided.played.settle()
    assert kept(decided) is Phase.ROLLED_BACK
    assert decided.worst[V2] == 10
    assert (decided.asked(), decided.played.shares()) == ((V1, None), {V1: 100})
    assert Ownership(decided.kube).holder("iris") == ""


def test_the_next_release_does_not_wait_for_it(decided: World) -> None:
    lose(decided, "iris-predictor-00002")
    canary(decided.backend(), V3, "r2")
    assert decided.played.shares() == {V1: 90, V3: 10}


def test_what_dies_after_it_got_all_traffic_is_mended_by_the_next_release(
    decided: World,
) -> None:
    def unwell(change: Object) -> None:
        change["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    decided.edit(lambda now: now["spec"]["predictor"].pop("canaryTrafficPercent"))
    decided.played.settle()
    lose(decided, "iris-predictor-00002")
    service = decided.service()
    unwell(service)
    decided.api.store.set_status(service, service["status"])
    decided.backend().rollback(service="iris", release_id="r1")
    assert kept(decided) is Phase.PROMOTED
    assert Ownership(decided.kube).holder("iris") == ""
