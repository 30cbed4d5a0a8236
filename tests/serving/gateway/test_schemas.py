"""Every object as it was applied, in every state of a release, is right by its schema.

Deployments and Services: by lightkube's models, which are made from Kubernetes' OpenAPI document;
an unknown field is lost there, and a wrong type refused. HTTPRoutes: by `schema.py`.
InferenceServices: by KServe's schema; and by its published CRD, where that is at hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from lightkube.models.apps_v1 import Deployment
from lightkube.models.core_v1 import Service

from coalmine.serving.gateway.template import template_of
from coalmine.serving.kserve.schema import faults
from coalmine.serving.mirror import Mirror
from tests.kubeapi.store import Change, Object
from tests.serving.gateway.schema import HTTP_ROUTE_SPEC
from tests.serving.gateway.world import V1, V2, V3, World, canary, deployment, isvc, route

IMAGES = (V1, V2, V3)
MODELS: dict[str, Any] = {"Deployment": Deployment, "Service": Service}


def applied(world: World, workload: Object) -> list[Object]:
    """Everything that a first release, a promoted and a withdrawn one write."""
    found: list[Object] = []

    def note(change: Change) -> None:
        if change.type != "DELETED":
            found.append({k: v for k, v in change.object.items() if k != "status"})

    world.api.store.subscribe(note)
    template = template_of([workload, route()])
    backend = world.backend(template=template, preview="blue", mirror=Mirror(20))
    for release, image in (("r1", V1), ("r2", V2)):
        canary(backend, release, image)
        if release == "r2":
            backend.set_traffic(service="iris", percent=50, release_id=release)
        backend.promote(service="iris", release_id=release)
    canary(backend, "r3", V3)
    backend.rollback(service="iris", release_id="r3")
    return found


def of_kind(kind: str, items: list[Object]) -> list[Object]:
    found = [item for item in items if item["kind"] == kind]
    assert found
    return found


def test_workloads_and_services_are_right_by_the_models(world: World) -> None:
    items = applied(world, deployment("any"))
    for kind, model in MODELS.items():
        for item in of_kind(kind, items):
            spec = {"apiVersion": item["apiVersion"], "kind": kind, "spec": item["spec"]}
            assert model.from_dict(spec).to_dict() == spec


def test_routes_are_right_by_the_schema(world: World) -> None:
    routes = of_kind("HTTPRoute", applied(world, deployment("any")))
    assert any("filters" in rule for item in routes for rule in item["spec"]["rules"])
    for item in routes:
        jsonschema.validate(item["spec"], HTTP_ROUTE_SPEC)


def services_of_kserve(world: World) -> list[Object]:
    found = of_kind("InferenceService", applied(world, isvc("any")))
    return list({repr(item["spec"]): item for item in found}.values())


def test_inference_services_are_right_by_the_schema(world: World) -> None:
    assert [faults(item) for item in services_of_kserve(world)] == [[]] * len(IMAGES)


@pytest.mark.soak
def test_inference_services_pass_the_published_schema(world: World, tmp_path: Path) -> None:
    check = Path(os.environ.get("COALMINE_SHARED", ".")) / "bin" / "check-manifests"
    if not check.exists():
        pytest.skip("the checker of manifests is not here")
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(services_of_kserve(world)))
    said = subprocess.run(
        [sys.executable, str(check), str(path)], capture_output=True, check=False, text=True
    )
    assert said.returncode == 0, said.stdout
    assert said.stdout.count(": ok") == len(IMAGES)
