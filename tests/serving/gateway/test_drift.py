"""Somebody else changes the route or a workload: it is seen, told, and never overwritten."""

from __future__ import annotations

import pytest

from coalmine._base.errors import CoalmineError, InputError
from tests.kubeapi.store import Object
from tests.serving.gateway.world import (
    DEPLOYMENT,
    ROUTE,
    V1,
    V2,
    World,
    canary,
    deployment,
    plain_service,
    route,
)


def test_what_a_person_did_to_the_rules_is_told_and_kept(adopted: World) -> None:
    backend = adopted.backend()
    canary(backend)

    def half(now: Object) -> None:
        for ref in now["spec"]["rules"][0]["backendRefs"]:
            ref["weight"] = 50

    adopted.edit(ROUTE, "iris", half)
    for call in (backend.promote, backend.rollback):
        with pytest.raises(InputError, match=r"managed by .*kubectl-edit"):
            call(service="iris", release_id="r2")
    assert adopted.split() == {"iris-v1": 50, "iris-r2": 50}

    def away(now: Object) -> None:
        del now["spec"]["rules"][0]["backendRefs"][1]

    adopted.edit(ROUTE, "iris", away)
    backend.rollback(service="iris", release_id="r2")
    assert adopted.split() == {"iris-v1": 100}
    assert adopted.names(DEPLOYMENT) == ["iris-v1"]


def test_an_image_that_a_person_set_is_not_promoted(adopted: World) -> None:
    backend = adopted.backend()
    canary(backend)

    def other(now: Object) -> None:
        now["spec"]["template"]["spec"]["containers"][0]["image"] = V1

    adopted.edit(DEPLOYMENT, "iris-r2", other)
    with pytest.raises(InputError, match="set to another image"):
        backend.promote(service="iris", release_id="r2")
    backend.rollback(service="iris", release_id="r2")
    assert adopted.split() == {"iris-v1": 100}


def test_what_cannot_have_a_canary_is_told(world: World) -> None:
    with pytest.raises(InputError, match="no HTTPRoute iris and no template"):
        canary(world.backend())
    world.add(route("iris-v1"))
    with pytest.raises(InputError, match="behind the backend iris-v1 there is no Deployment"):
        canary(world.backend())
    world.add(deployment("iris-v1", V2), plain_service("iris-v1"))
    with pytest.raises(InputError, match="set to this image already"):
        canary(world.backend())
    refs = [{"name": name, "port": 1} for name in ("a", "b")]
    world.edit(ROUTE, "iris", lambda now: now["spec"]["rules"][0].update(backendRefs=refs))
    with pytest.raises(CoalmineError, match="a split that no release owns"):
        canary(world.backend())
