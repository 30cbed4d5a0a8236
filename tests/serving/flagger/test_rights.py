"""The shipped Role grants what a release asks for, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coalmine._base.errors import InputError
from coalmine.serving.flagger.template import template_of
from tests.kubeapi.server import KubeApi
from tests.serving.flagger.conftest import V1, V2, V3, World, deployment, new_world, release

ROLE = Path(__file__).parents[3] / "deploy" / "serving" / "flagger.yaml"
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Right = tuple[str, str, str]


def _right(method: str, path: str) -> Right:
    parts = path.partition("?")[0].strip("/").split("/")
    group = parts[1] if parts[0] == "apis" else ""
    plural, *name = parts[parts.index("namespaces") + 2 :]
    resource = "/".join([plural, *name[1:2]])
    return group, resource, VERBS.get(method, "get" if name else "list")


def _asked(api: KubeApi) -> set[Right]:
    # Which kinds there are, every account may ask.
    return {_right(verb, path) for verb, path, _ in api.app.requests if "/namespaces/" in path}


def _granted() -> set[Right]:
    role = next(iter(yaml.safe_load_all(ROLE.read_text())))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_role_is_what_releases_ask_for(world: World) -> None:
    template = template_of([deployment("")])
    release(world.backend(template=template), V1, "r0")
    world.backend().rollback(service="iris", release_id="r0")
    release(world.backend(template=template), V1, "r1")
    world.backend().promote(service="iris", release_id="r1")
    release(world.backend(), V2, "r2")
    template_name = "coalmine-iris-error-rate"
    world.backend().rollback(service="iris", release_id="r2")
    path = f"/apis/flagger.app/v1beta1/namespaces/ml/metrictemplates/{template_name}"
    world.kube._http.request(
        "PATCH",
        path,
        params={},
        json=[{"op": "replace", "path": "/spec/query", "value": "old"}],
        headers={"content-type": "application/json-patch+json"},
    )
    world.api.app.requests.pop()
    release(world.backend(), V2, "r3")
    world.backend().rollback(service="iris", release_id="r3")
    failing = new_world()
    failing.driven()
    failing.flagger.broken.add(V3)
    failing.flagger.crash = True
    with pytest.raises(InputError):
        release(failing.backend(timeout=60), V3)
    assert _asked(world.api) | _asked(failing.api) == _granted()
