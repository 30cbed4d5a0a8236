"""Somebody else changes the service in mid-release: it is seen, told, and never overwritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kube.ownership import Ownership
from coalmine.serving.protocol import Phase
from tests.kubeapi.store import Object
from tests.serving.kserve.conftest import V1, V2, V3, World
from tests.serving.kserve.controller import ISVC, NAMESPACE, service_of
from tests.serving.kserve.test_knative import canary

Edit = Callable[[Object], object]


def container(service: Object) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]["predictor"]["containers"][0]
    return found


def set_env(service: Object) -> None:
    container(service)["env"][0]["value"] = "2"


def set_image(service: Object) -> None:
    container(service)["image"] = V3


def annotate(service: Object) -> None:
    service["metadata"]["annotations"]["team"] = "a"


def raise_percent(service: Object) -> None:
    service["spec"]["predictor"]["canaryTrafficPercent"] = 60


def drop_percent(service: Object) -> None:
    service["spec"]["predictor"].pop("canaryTrafficPercent")


@pytest.mark.parametrize(
    ("edit", "told", "ends"),
    [
        (set_env, "spec.predictor.containers changed", (V1, None)),
        (annotate, "annotations.team changed", (V1, None)),
        (raise_percent, "percent was set to 60", (V1, None)),
        # What serves was decided by hand: that stands.
        (set_image, f"image was set to {V3}", (V3, 10)),
        (drop_percent, "promotes it by hand", (V2, None)),
    ],
)
def test_an_edit_in_mid_release_is_not_promoted_and_not_overwritten(
    world: World, edit: Edit, told: str, ends: tuple[str, int | None]
) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    world.edit(edit)
    world.played.settle()
    for call in (backend.promote, backend.promote):
        with pytest.raises(InputError) as caught:
            call(service="iris", release_id="r1")
        assert told in caught.value.message
        # What takes a field away leaves no name behind.
        who = "kubectl" if edit is drop_percent else "kubectl-edit"
        assert f"last written by {who} at" in caught.value.message
    record = backend.rollback(service="iris", release_id="r1")
    assert record is not None
    assert record.phase is Phase.ROLLED_BACK
    world.played.settle()
    assert world.asked() == ends
    assert Ownership(world.kube).holder("iris") == ""
    if edit is set_env:
        assert container(world.service())["env"][0]["value"] == "2"
    assert backend.rollback(service="iris", release_id="r1") == record
    assert world.asked() == ends


def test_an_edit_while_the_canary_comes_up_stops_it(world: World) -> None:
    world.serving()
    steps = iter([set_env])
    step = world.step

    def edited(_seconds: float = 0) -> None:
        step()
        if edit := next(steps, None):
            world.edit(edit, manager="argocd-controller")

    world.step = edited  # type: ignore[method-assign]
    with pytest.raises(InputError, match="argocd-controller"):
        canary(world.backend())
    assert world.worst.get(V2, 0) == 0


def test_a_service_that_is_deleted_is_not_made_anew(world: World) -> None:
    world.serving()
    backend = world.backend()
    canary(backend)
    world.api.store.delete(ISVC, NAMESPACE, "iris")
    with pytest.raises(InputError, match="was deleted"):
        backend.promote(service="iris", release_id="r1")
    assert backend.rollback(service="iris", release_id="r1") is not None
    assert world.api.store.list(ISVC)[0] == []
    world.serving(V3)
    assert backend.rollback(service="iris", release_id="r1") is not None
    assert world.asked() == (V3, None)


def test_a_service_that_somebody_makes_first_is_left_alone(world: World) -> None:
    backend = world.backend(template=service_of(""))
    write = world.kube.write

    def raced(change: Any) -> Object:
        if change.method == "POST" and "inferenceservices" in change.path:
            world.kube.write = write  # type: ignore[method-assign]
            world.serving(V3)
        return write(change)

    world.kube.write = raced  # type: ignore[method-assign]
    with pytest.raises(InputError, match="somebody else made it"):
        canary(backend)
    backend.rollback(service="iris", release_id="r1")
    assert world.asked() == (V3, None)


def test_a_release_that_never_began_leaves_nothing(world: World) -> None:
    world.serving()
    assert world.backend().rollback(service="iris", release_id="r1") is None
    with pytest.raises(CoalmineError, match="no release does"):
        world.backend().promote(service="iris", release_id="r1")
    assert world.api.said("PATCH") == world.api.said("POST") == []
