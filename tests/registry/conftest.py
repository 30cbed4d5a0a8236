from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from bad_registry import BadRegistry, bad_registry

from coalmine.registry.address import Repository
from coalmine.registry.client import RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions

Opener = Callable[..., AbstractContextManager[RemoteRepository]]


@pytest.fixture
def waited() -> list[float]:
    """Every wait before another try, in seconds; nobody really waits."""
    return []


@pytest.fixture
def opener(waited: list[float]) -> Opener:
    def opened(
        host: str,
        path: str = "me/iris",
        options: RegistryOptions | None = None,
        *,
        writes: bool = False,
    ) -> AbstractContextManager[RemoteRepository]:
        return open_repository(
            Repository(host, path), options or RegistryOptions(), writes=writes, sleep=waited.append
        )

    return opened


@pytest.fixture
def bad() -> Iterator[BadRegistry]:
    with bad_registry() as registry:
        yield registry


@pytest.fixture
def remote(bad: BadRegistry, opener: Opener) -> Iterator[RemoteRepository]:
    with opener(bad.host) as opened:
        yield opened
