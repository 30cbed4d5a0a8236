"""The shipped Role grants what a release asks for, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coalmine._base.errors import CoalmineError
from tests.kubeapi.server import KubeApi
from tests.serving.kserve.conftest import V1, V2, V3, World, new_world
from tests.serving.kserve.controller import service_of
from tests.serving.kserve.test_failures import Replay
from tests.serving.kserve.test_knative import canary

ROLE = Path(__file__).parents[3] / "deploy" / "serving" / "kserve-rbac.yaml"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Right = tuple[str, str, str]


def _right(method: str, path: str) -> Right:
    parts = path.partition("?")[0].strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    plural, *name = parts[parts.index("namespaces") + 2 :]
    resource = "/".join([plural, *name[1:2]])
    return group, resource, VERBS.get(method, "get" if name else "list")


def _asked(api: KubeApi) -> set[Right]:
    return {_right(method, path) for method, path, _ in api.app.requests}


def _granted() -> set[Right]:
    role = next(iter(yaml.safe_load_all(ROLE.read_text())))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if group != "serving.kubeflow.org"
    }


def test_the_role_is_what_releases_ask_for(world: World) -> None:
    backend = world.backend(template=service_of("", minReplicas=0))
    canary(backend, V1, "r0")
    backend.rollback(service="iris", release_id="r0")
    canary(backend, V2, "r1")
    backend.promote(service="iris", release_id="r1")
    canary(backend, V3, "r2")
    backend.rollback(service="iris", release_id="r2")
    failing = new_world()
    with pytest.raises(CoalmineError):
        canary(Replay(failing, "crashloop").backend(60))
    assert _asked(world.api) | _asked(failing.api) == _granted()
