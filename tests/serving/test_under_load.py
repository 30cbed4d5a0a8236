from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from coalmine.serving.local import LocalServing
from coalmine.serving.trial import OnCrash, Ways
from coalmine.stack.stack import Stack
from coalmine.stack.waiting import wait_for

pytestmark = pytest.mark.integration

ENOUGH = 400


def answered(load: Any, count: int) -> None:
    goal = load.total() + count
    assert wait_for(lambda: load.total() >= goal, seconds=30)


def canary(backend: LocalServing, release: str, image: str, percent: int = 10) -> None:
    version, _, _ = image.partition(":")
    backend.apply_canary(
        service="iris", image=image, version=version, percent=percent, release_id=release
    )


def test_slow_requests_are_answered_by_the_version_that_took_them(
    stack: Stack, backend: LocalServing, load: Callable[[str], Any]
) -> None:
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")
    running = load(stack.endpoints().proxy + "/iris/slow")
    canary(backend, "r2", "v2:ok", percent=50)
    answered(running, 32)
    backend.promote(service="iris", release_id="r2")
    answered(running, 16)
    assert running.errors == []
    assert running.failed() == {}


def test_a_dead_canary_fails_alone_and_stays_dead(
    stack: Stack, backend: LocalServing, load: Callable[[str], Any]
) -> None:
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2", "v2:ok", percent=30)
    running = load(stack.endpoints().proxy + "/iris/predict")
    os.kill(stack.supervisor.states()["server-iris-r2"].pid, signal.SIGKILL)
    assert wait_for(lambda: running.failed().get("iris-r2", 0) > 20, seconds=15)
    answered(running, ENOUGH)
    assert stack.supervisor.states()["server-iris-r2"].state == "EXITED"
    assert set(running.failed()) == {"iris-r2"}
    with pytest.raises(Exception, match="does not run"):
        backend.promote(service="iris", release_id="r2")
    with pytest.raises(Exception, match="does not run, so it gets no other share"):
        backend.set_traffic(service="iris", percent=60, release_id="r2")
    backend.rollback(service="iris", release_id="r2")
    failed = running.failed()
    answered(running, ENOUGH)
    assert running.failed() == failed


def test_a_dead_canary_is_started_again_where_that_is_set(
    stack: Stack, make_backend: Callable[..., LocalServing]
) -> None:
    backend = make_backend(stack, ways=Ways(on_crash=OnCrash.RESTART))
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2", "v2:ok", percent=30)
    before = stack.supervisor.states()["server-iris-r2"].pid
    os.kill(before, signal.SIGKILL)
    assert wait_for(
        lambda: stack.supervisor.states()["server-iris-r2"].pid not in (0, before), seconds=15
    )
    backend.set_traffic(service="iris", percent=60, release_id="r2")
    backend.promote(service="iris", release_id="r2")
    assert {s.revision: s.percent for s in backend.observe("iris").shares} == {"iris-r2": 100}


def test_a_dead_stable_is_started_again(stack: Stack, backend: LocalServing) -> None:
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")
    before = stack.supervisor.states()["server-iris-r1"].pid
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        (share,) = backend.observe("iris").shares
        return share.ready and stack.supervisor.states()["server-iris-r1"].pid != before

    assert wait_for(back, seconds=15)


def test_a_killed_envoy_comes_back_with_the_same_routes(
    stack: Stack, backend: LocalServing
) -> None:
    canary(backend, "r1", "v1:ok")
    backend.promote(service="iris", release_id="r1")
    canary(backend, "r2", "v2:ok")
    before = stack.supervisor.states()["envoy"].pid
    os.kill(before, signal.SIGKILL)
    assert wait_for(lambda: stack.supervisor.states()["envoy"].pid not in (0, before), seconds=15)
    backend.promote(service="iris", release_id="r2")
    assert {s.revision: s.percent for s in backend.observe("iris").shares} == {"iris-r2": 100}
