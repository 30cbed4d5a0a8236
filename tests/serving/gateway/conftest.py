from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.gateway.world import World, adopt, new_world


@pytest.fixture
def world() -> Iterator[World]:
    made = new_world()
    yield made
    made.kube.close()


@pytest.fixture
def adopted(world: World) -> World:
    return adopt(world)
