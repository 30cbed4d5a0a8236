"""The shipped Role grants what a release asks for, and nothing besides."""

from __future__ import annotations

import pytest
import yaml

from coalmine._base.errors import CoalmineError
from coalmine.serving.gateway.template import template_of
from tests.serving.gateway.world import V1, V2, World, adopt, canary, deployment, isvc, new_world
from tests.serving.gateway.world import route as route_to
from tests.serving.kserve.controller import answer_predictions
from tests.serving.kube.rights import DEPLOY, asked, granted


def _first_releases(world: World) -> None:
    template = template_of([deployment("", ""), route_to()])
    backend = world.backend(template=template)
    canary(backend, "r0", V1)
    backend.rollback(service="iris", release_id="r0")
    canary(backend, "r1", V1)
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2", V2)
    backend.rollback(service="iris", release_id="r2")


def _one_that_does_not_come_up(world: World) -> None:
    adopt(world).broken.add(V2)
    with pytest.raises(CoalmineError):
        canary(world.backend())


def _of_kserve(world: World) -> None:
    world.add(isvc("iris-v1"), route_to("iris-v1-predictor"))
    answer_predictions(world.api)
    canary(world.backend())
    world.backend().rollback(service="iris", release_id="r2")


def test_the_role_is_what_releases_ask_for() -> None:
    used = set()
    for released in (_first_releases, _one_that_does_not_come_up, _of_kserve):
        world = new_world()
        released(world)
        used |= asked(world.api)
        world.kube.close()
    # The log of a container that ended is read by what all backends on Kubernetes share.
    assert used | {("", "pods/log", "get")} == granted("gateway.yaml")


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_role_is_bound_to_the_account_of_the_tasks(path: object) -> None:
    role, binding = yaml.safe_load_all((DEPLOY / str(path)).read_text())
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    subject = {"kind": "ServiceAccount", "name": "release-run", "namespace": "coalmine"}
    assert binding["subjects"] == [subject]
