"""The shipped Role grants what a release asks for, and nothing besides."""

from __future__ import annotations

import pytest

from coalmine._base.errors import CoalmineError
from tests.serving.kserve.conftest import V1, V2, V3, World, new_world
from tests.serving.kserve.controller import service_of
from tests.serving.kserve.test_failures import Replay
from tests.serving.kserve.test_knative import canary
from tests.serving.kube.rights import asked, granted


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
    theirs = {right for right in granted("kserve-rbac.yaml") if right[0] != "serving.kubeflow.org"}
    assert asked(world.api) | asked(failing.api) == theirs
