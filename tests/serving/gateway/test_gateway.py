from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.gateway.rules import PREVIEW_HEADER
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.template import template_of
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.select import ServingSettings, open_backend
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.status import denied, gone, too_many
from tests.kubeapi.store import Object
from tests.serving.gateway.conftest import (
    DEPLOYMENT,
    ISVC,
    ROUTE,
    SERVICE,
    V1,
    V2,
    World,
    deployment,
    isvc,
    route,
)


def canary(
    backend: KubeServing[Seen], release: str = "r2", image: str = V2, percent: int = 10
) -> ReleaseRecord:
    return backend.apply_canary(
        service="iris", image=image, version=release, percent=percent, release_id=release
    )


def plain_service(name: str) -> Object:
    spec = {"selector": {"app": "iris"}, "ports": [{"port": 3000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def adopted(world: World) -> World:
    """A Deployment, a Service and a route that somebody else has made."""
    world.add(deployment("iris-v1"), plain_service("iris-v1"), route("iris-v1"))
    return world


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
    backend = adopted.backend(preview="blue", mirror=20)
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


def test_a_preview_and_a_mirror_come_before_any_share(adopted: World) -> None:
    seen: list[Any] = []
    adopted.api.store.subscribe(
        lambda change: seen.append(change.object["spec"]) if change.kind == ROUTE else None
    )
    canary(adopted.backend(preview="blue", mirror=20))
    ahead, rule = next(spec["rules"] for spec in seen if len(spec["rules"]) == 2)
    header = {"type": "Exact", "name": PREVIEW_HEADER, "value": "blue"}
    assert ahead["matches"][0]["headers"] == [header]
    assert [ref["name"] for ref in ahead["backendRefs"]] == ["iris-r2"]
    assert [ref["name"] for ref in rule["backendRefs"]] == ["iris-v1"]
    assert rule["filters"][0]["requestMirror"]["percent"] == 20
    ahead, rule = adopted.route()["spec"]["rules"]
    assert "filters" not in rule, "what has a share is not mirrored besides"
    assert ahead["backendRefs"][0]["name"] == "iris-r2"


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


def test_the_settings_lead_here(
    adopted: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(adopted.api.kubeconfig(tmp_path / "config", "ml")))
    template = tmp_path / "serving.yaml"
    template.write_text(yaml.safe_dump_all([deployment("any"), route()]))
    settings = ServingSettings(template=str(template), preview="blue", mirror="5")
    opened = open_backend("gateway", state=tmp_path, unpack=lambda _, into: into, settings=settings)
    assert isinstance(opened, KubeServing)
    assert [share.revision for share in opened.observe("iris").shares] == ["iris-v1"]
    opened._kube.close()
    for field, wrong in (
        ("mirror", replace(settings, mirror="101")),
        ("template", replace(settings, template="none.yaml")),
    ):
        with pytest.raises(InputError) as caught:
            open_backend(
                "gateway",
                state=tmp_path,
                unpack=lambda _, into: into,
                settings=wrong,
            )
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([route()], "holds 0 workloads"),
        ([deployment("a"), isvc("b")], "holds 2 workloads"),
        ([{"kind": "StatefulSet"}], "a StatefulSet cannot serve a canary"),
        ([{"kind": "Deployment", "spec": {}}], "has no container"),
        ([deployment("a"), {"kind": "HTTPRoute", "spec": {}}], "names no Gateway"),
    ],
)
def test_a_template_that_is_none(items: list[Object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        template_of(items)
