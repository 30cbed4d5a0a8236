from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.gateway.rules import PREVIEW_HEADER
from coalmine.serving.gateway.template import template_of
from coalmine.serving.mirror import SAFE, Mirror
from coalmine.serving.protocol import Phase
from tests.kubeapi.store import Change
from tests.serving.gateway.world import (
    DEPLOYMENT,
    ISVC,
    NAMESPACE,
    ROUTE,
    SERVICE,
    V1,
    V2,
    World,
    canary,
    deployment,
    isvc,
    modelled,
    route,
)


def test_a_service_that_others_made_is_released_step_by_step(adopted: World) -> None:
    backend = adopted.backend()
    record = canary(backend)
    assert (record.canary, record.stable, record.percent) == ("iris-r2", "iris-v1", 10)
    assert adopted.split() == {"iris-v1": 90, "iris-r2": 10}
    made = adopted.api.store.get(DEPLOYMENT, "ml", "iris-r2")
    pod = made["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == "iris"
    assert pod["spec"]["containers"][0]["image"] == V2
    assert "app" not in pod["metadata"]["labels"], "the stable Service would find its pods"
    for percent in (25, 50):
        backend.set_traffic(service="iris", percent=percent, release_id="r2")
        assert adopted.split() == {"iris-v1": 100 - percent, "iris-r2": percent}
    assert backend.promote(service="iris", release_id="r2").phase is Phase.PROMOTED
    assert adopted.split() == {"iris-r2": 100}
    assert adopted.names(DEPLOYMENT) == ["iris-r2", "iris-v1"], "what is not ours stays"
    assert adopted.unserved == []
    observed = backend.observe("iris")
    assert observed.url == "http://iris.example.com"
    assert [(s.revision, s.percent, s.ready) for s in observed.shares] == [("iris-r2", 100, True)]


def test_the_next_release_clears_what_the_last_one_made(adopted: World) -> None:
    backend = adopted.backend()
    canary(backend)
    backend.promote(service="iris", release_id="r2")
    canary(backend, "r3", V1)
    assert adopted.split() == {"iris-r2": 90, "iris-r3": 10}
    backend.promote(service="iris", release_id="r3")
    assert adopted.split() == {"iris-r3": 100}
    assert "iris-r2" not in adopted.names(DEPLOYMENT) + adopted.names(SERVICE)
    assert adopted.unserved == []


def test_a_roll_back_leaves_the_route_as_it_was(adopted: World) -> None:
    before = adopted.route()["spec"]
    backend = adopted.backend(preview="blue", mirror=Mirror(20))
    canary(backend, percent=40)
    assert backend.rollback(service="iris", release_id="r2") is not None
    once = adopted.api.store.version
    backend.rollback(service="iris", release_id="r2")
    assert adopted.api.store.version == once
    refs = adopted.route()["spec"]["rules"][0]["backendRefs"]
    assert [(ref["name"], ref["port"]) for ref in refs] == [("iris-v1", 3000)]
    assert len(adopted.route()["spec"]["rules"]) == len(before["rules"])
    assert adopted.names(DEPLOYMENT) == ["iris-v1"]
    assert adopted.names(SERVICE) == ["iris-v1"]


def test_the_first_release_takes_all_traffic_and_is_removed_if_bad(world: World) -> None:
    backend = world.backend(template=template_of([deployment("any"), route()]))
    record = canary(backend, "r1", V1)
    assert (record.stable, record.percent) == ("", 100)
    assert world.split() == {"iris-r1": 100}
    backend.rollback(service="iris", release_id="r1")
    assert [world.names(kind) for kind in (ROUTE, DEPLOYMENT, SERVICE)] == [[], [], []]
    canary(backend, "r2", V1)
    backend.promote(service="iris", release_id="r2")
    canary(backend, "r3", V2)
    assert world.split() == {"iris-r2": 90, "iris-r3": 10}
    assert world.unserved == []


def test_inference_services_in_standard_mode(world: World) -> None:
    world.add(isvc("iris-v1"), route("iris-v1-predictor", 80))
    world.step()
    backend = world.backend()
    record = canary(backend)
    assert (record.stable, record.canary) == ("iris-v1", "iris-r2")
    assert world.split() == {"iris-v1-predictor": 90, "iris-r2-predictor": 10}
    backend.promote(service="iris", release_id="r2")
    canary(backend, "r3", V1)
    backend.promote(service="iris", release_id="r3")
    assert world.split() == {"iris-r3-predictor": 100}
    assert world.names(ISVC) == ["iris-r3", "iris-v1"]
    assert world.unserved == []


def test_models_in_standard_mode_take_the_image_and_leave_what_stands_beside(world: World) -> None:
    world.add(modelled("iris-v1"), route("iris-v1-predictor", 80))
    backend = world.backend()
    canary(backend, "r1", V2)
    made = world.api.store.get(ISVC, NAMESPACE, "iris-r1")["spec"]["predictor"]
    assert (made["model"]["image"], made["containers"][0]["image"]) == (V2, "agent")
    backend.promote(service="iris", release_id="r1")
    with pytest.raises(InputError, match="set to this image already"):
        canary(backend, "r2", V2)


def test_a_preview_and_a_mirror_come_before_any_share(adopted: World) -> None:
    seen: list[Any] = []
    adopted.api.store.subscribe(
        lambda change: seen.append(change.object["spec"]) if change.kind == ROUTE else None
    )
    canary(adopted.backend(preview="blue", mirror=Mirror(20)))
    ahead, copied, rule = next(spec["rules"] for spec in seen if len(spec["rules"]) == 3)
    header = {"type": "Exact", "name": PREVIEW_HEADER, "value": "blue"}
    methods = [match.get("method") for match in ahead["matches"]]
    assert methods == [None, *SAFE], "the rule of copies would win over one without a method"
    assert all(match["headers"] == [header] for match in ahead["matches"])
    assert [ref["name"] for ref in ahead["backendRefs"]] == ["iris-r2"]
    assert [match["method"] for match in copied["matches"]] == list(SAFE)
    assert copied["filters"][0]["requestMirror"]["percent"] == 20
    assert "filters" not in rule, "what may change something is not copied"
    for each in (copied, rule):
        assert [ref["name"] for ref in each["backendRefs"]] == ["iris-v1"]
    ahead, rule = adopted.route()["spec"]["rules"]
    assert "filters" not in rule, "what has a share is not mirrored besides"
    assert ahead["backendRefs"][0]["name"] == "iris-r2"


def test_a_canary_gets_copies_for_as_long_as_is_set(adopted: World) -> None:
    moments: list[tuple[bool, int]] = []

    def note(change: Change) -> None:
        if change.kind == ROUTE and change.type == "MODIFIED":
            rules = change.object["spec"]["rules"]
            moments.append(("filters" in rules[0], adopted.elapsed))

    adopted.api.store.subscribe(note)
    every = Mirror(50, methods=(), hold=timedelta(seconds=60))
    canary(adopted.backend(mirror=every))
    began = next(at for mirrored, at in moments if mirrored)
    ended = next(at for mirrored, at in moments if not mirrored and at > began)
    assert 60 <= ended - began <= 90
    assert adopted.split() == {"iris-v1": 90, "iris-r2": 10}


def test_a_canary_that_dies_of_copies_gets_no_user(adopted: World) -> None:
    def copied(change: Change) -> None:
        if change.kind == ROUTE and "filters" in change.object["spec"]["rules"][0]:
            adopted.broken.add(V2)

    adopted.api.store.subscribe(copied)
    with pytest.raises(InputError, match="does not come up: image"):
        canary(adopted.backend(mirror=Mirror(50)))
    adopted.backend().rollback(service="iris", release_id="r2")
    assert adopted.worst == {"iris-v1": 100}
    assert adopted.names(DEPLOYMENT) == ["iris-v1"]


def test_a_canary_that_cannot_be_pulled_is_told_and_removed(adopted: World) -> None:
    adopted.broken.add(V2)
    backend = adopted.backend()
    with pytest.raises(InputError, match=r"does not come up: image.*ImagePullBackOff"):
        canary(backend)
    record = backend.rollback(service="iris", release_id="r2")
    assert record is not None
    assert record.phase is Phase.REMOVED
    assert adopted.worst == {"iris-v1": 100}
    assert adopted.names(DEPLOYMENT) == ["iris-v1"]


def test_a_route_that_no_gateway_takes_fails_the_step(adopted: World) -> None:
    adopted.refused = "no such backend"
    with pytest.raises(InputError, match=r"the Gateway front refuses .* no such backend"):
        canary(adopted.backend())
