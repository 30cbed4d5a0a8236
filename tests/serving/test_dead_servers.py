"""BentoML's main process is killed: its worker would live on, and answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from coalmine._base.errors import CoalmineError
from coalmine.serving.local import LocalServing
from coalmine.stack.stack import Stack
from coalmine.stack.sweep import lives, marked
from coalmine.stack.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def real(stack: Stack) -> LocalServing:
    return LocalServing.of(stack.layout.state, unpack=shutil.copytree)


def kill_main(stack: Stack, program: str) -> int:
    main = stack.supervisor.states()[program].pid
    assert wait_for(lambda: len(marked(stack.layout.state, program)) > 1, seconds=10)
    psutil.Process(main).kill()
    # The kernel may take a moment; until then it still runs.
    assert wait_for(lambda: not lives(main), seconds=5)
    return main


def test_what_a_killed_bentoml_leaves_neither_serves_nor_is_promoted(
    stack: Stack, real: LocalServing, build_bento: Callable[..., Path]
) -> None:
    def canary(release: str, percent: int = 50) -> None:
        image = str(build_bento(release))
        real.apply_canary(
            service="echo", image=image, version=release, percent=percent, release_id=release
        )

    canary("r1")
    real.promote(service="echo", release_id="r1")
    canary("r2")

    def call() -> tuple[str, int]:
        url = stack.endpoints().proxy + "/echo/predict"
        answer = httpx.post(url, json={"text": "a"}, trust_env=False, timeout=10)
        return answer.headers["x-coalmine-revision"], answer.status_code

    kill_main(stack, "server-echo-r2")
    with pytest.raises(CoalmineError, match="echo-r2 does not run, so it is not promoted"):
        real.promote(service="echo", release_id="r2")
    assert wait_for(lambda: not marked(stack.layout.state, "server-echo-r2"), seconds=5)
    assert {call() for _ in range(40)} == {("echo-r1", 200), ("echo-r2", 503)}
    real.rollback(service="echo", release_id="r2")

    dead = kill_main(stack, "server-echo-r1")

    def back() -> bool:
        state = stack.supervisor.states()["server-echo-r1"]
        return state.pid != dead and real.observe("echo").shares[0].ready

    assert wait_for(back, seconds=60)
    main = psutil.Process(stack.supervisor.states()["server-echo-r1"].pid)
    tree = {main.pid, *(child.pid for child in main.children(recursive=True))}
    assert {process.pid for process in marked(stack.layout.state, "server-echo-r1")} <= tree
    assert call() == ("echo-r1", 200)
