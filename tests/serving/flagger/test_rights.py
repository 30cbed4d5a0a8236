"""The shipped Role grants what a release asks for, and nothing besides."""

from __future__ import annotations

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.flagger.template import template_of
from tests.serving.flagger.conftest import V1, V2, V3, World, deployment, new_world, release
from tests.serving.kube.rights import asked, granted


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
    assert asked(world.api) | asked(failing.api) == granted("flagger.yaml")
