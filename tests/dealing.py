"""How tests are dealt to workers: each begins with a room whose tests are long, and stays there.

``--dist worksteal`` cuts the list in as many equal parts as there are workers, and a worker that
has no more tests takes half of what another has left, from the end. So the long tests, which wait
more than they work and share a stack that takes long to start, stand at the beginnings of the
parts, and what is quick, and needs nothing but a processor, at their ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["dealt"]

T = TypeVar("T")

LONG = (
    ("tests/e2e/",),
    ("tests/serving/",),
    ("tests/launcher/",),
    ("tests/engines/", "tests/stack/"),
)
"""Rooms of long tests by worker; with fewer workers, the last of them share one."""


def dealt(named: Sequence[tuple[str, T]], workers: int) -> list[T]:
    """Order tests so that equal parts of the list begin with long ones.

    Args:
        named: The tests with their ids.
        workers: How many parts there will be.
    """
    homes = [_home(name, workers) for name, _ in named]
    quick = [item for home, (_, item) in zip(homes, named, strict=True) if home is None]
    order: list[T] = []
    for worker in range(workers):
        part = [item for home, (_, item) in zip(homes, named, strict=True) if home == worker]
        share = (len(named) - len(order)) // (workers - worker)
        more = max(0, share - len(part))
        order += part + quick[:more]
        del quick[:more]
    return order + quick


def _home(name: str, workers: int) -> int | None:
    for worker, rooms in enumerate(LONG):
        if name.startswith(rooms):
            return min(worker, workers - 1)
    return None
