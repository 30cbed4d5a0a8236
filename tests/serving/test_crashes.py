"""Every call may be cut off anywhere: it is killed after each of its effects, and made again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.local import LocalServing
from coalmine.serving.protocol import Phase
from coalmine.serving.records import Records
from coalmine.stack.proxy import Proxy
from coalmine.stack.servers import Servers
from coalmine.stack.stack import Stack
from coalmine.stack.waiting import wait_for

pytestmark = pytest.mark.integration

EFFECTS = {"write", "start", "wait_ready", "add_cluster", "route", "keep", "remove_cluster"}
EFFECTS |= {"remove", "wait_serving"}


class Cut(BaseException):
    """As sudden as a kill: nothing catches it."""


class Fuse:
    """Cuts a call off at its nth effect: before it where n is even, after it where n is odd."""

    def __init__(self, at: int) -> None:
        self.left = at

    def on(self, part: Any) -> Any:
        fuse = self

        class Fused:
            def __getattr__(self, name: str) -> Any:
                value = getattr(part, name)
                return fuse.around(value) if name in EFFECTS else value

        return Fused()

    def around(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            self.burn()
            result = effect(*args, **named)
            self.burn()
            return result

        return run

    def burn(self) -> None:
        if self.left == 0:
            raise Cut
        self.left -= 1


def cut_everywhere(
    make: Callable[[int], LocalServing], call: Callable[[LocalServing], object]
) -> int:
    """Make a call, cut off at its first point, then at its second, until it comes through."""
    for cuts in range(40):
        try:
            call(make(cuts))
        except Cut:
            continue
        return cuts
    raise AssertionError("it never comes through")


@pytest.fixture
def fused(
    stack: Stack, make_backend: Callable[..., LocalServing], backend: LocalServing
) -> Callable[[int], LocalServing]:
    def make(at: int) -> LocalServing:
        fuse = Fuse(at)
        return make_backend(
            stack,
            records=fuse.on(Records(stack.layout.services)),
            servers=fuse.on(backend._servers),
            proxy=fuse.on(Proxy(stack.layout)),
        )

    return make


def test_calls_that_are_cut_off_anywhere_end_the_same(
    stack: Stack, backend: LocalServing, fused: Callable[[int], LocalServing]
) -> None:
    def canary(release: str) -> Callable[[LocalServing], object]:
        return lambda serving: serving.apply_canary(
            service="iris", image=f"{release}:ok", version=release, percent=10, release_id=release
        )

    def shift(release: str, percent: int) -> Callable[[LocalServing], object]:
        return lambda s: s.set_traffic(service="iris", percent=percent, release_id=release)

    def state() -> tuple[Phase | None, dict[str, int], list[str]]:
        seen = backend.observe("iris")
        shares = {share.revision: share.percent for share in seen.shares if share.ready}
        servers = [name for name in stack.supervisor.states() if name.startswith("server-")]
        return seen.record.phase if seen.record else None, shares, sorted(servers)

    assert cut_everywhere(fused, canary("r1")) >= 10
    assert state() == (Phase.CANARY, {"iris-r1": 100}, ["server-iris-r1"])
    assert cut_everywhere(fused, lambda s: s.promote(service="iris", release_id="r1")) >= 4
    assert state() == (Phase.PROMOTED, {"iris-r1": 100}, ["server-iris-r1"])
    cut_everywhere(fused, canary("r2"))
    assert state()[1] == {"iris-r1": 90, "iris-r2": 10}
    assert cut_everywhere(fused, lambda s: s.rollback(service="iris", release_id="r2")) >= 6
    assert state() == (Phase.ROLLED_BACK, {"iris-r1": 100}, ["server-iris-r1"])
    cut_everywhere(fused, canary("r3"))
    assert cut_everywhere(fused, shift("r3", 60)) >= 4
    assert state()[1] == {"iris-r1": 40, "iris-r3": 60}
    cut_everywhere(fused, lambda s: s.promote(service="iris", release_id="r3"))
    assert state() == (Phase.PROMOTED, {"iris-r3": 100}, ["server-iris-r3"])


def test_a_canary_that_dies_after_the_decision_is_back_before_it_gets_all_traffic(
    stack: Stack, backend: LocalServing, fused: Callable[[int], LocalServing]
) -> None:
    for release in ("r1", "r2"):
        backend.apply_canary(
            service="iris", image=f"{release}:ok", version="v", percent=10, release_id=release
        )
        if release == "r1":
            backend.promote(service="iris", release_id="r1")
    with pytest.raises(Cut):
        fused(1).promote(service="iris", release_id="r2")
    program = "server-iris-r2"
    os.kill(stack.supervisor.states()[program].pid, signal.SIGKILL)
    assert wait_for(lambda: stack.supervisor.states()[program].state == "EXITED", seconds=10)
    backend.promote(service="iris", release_id="r2")
    assert stack.supervisor.states()[program].state == "RUNNING"
    assert [(s.revision, s.percent, s.ready) for s in backend.observe("iris").shares] == [
        ("iris-r2", 100, True)
    ]


@pytest.mark.parametrize("way", ["promote", "finalize", "next release"])
def test_a_promotion_whose_server_never_starts_again_is_taken_back(
    stack: Stack, backend: LocalServing, fused: Callable[[int], LocalServing], way: str
) -> None:
    for release in ("r1", "r2"):
        backend.apply_canary(
            service="iris", image=f"{release}:ok", version="v", percent=10, release_id=release
        )
        if release == "r1":
            backend.promote(service="iris", release_id="r1")
    with pytest.raises(Cut):
        fused(1).promote(service="iris", release_id="r2")
    program = "server-iris-r2"
    os.kill(stack.supervisor.states()[program].pid, signal.SIGKILL)
    assert wait_for(lambda: stack.supervisor.states()[program].state == "EXITED", seconds=10)
    model = stack.layout.revisions / "iris-r2" / "image" / "bento" / "model.json"
    model.write_text(model.read_text().replace('"ok"', '"crash"'))
    servers = Servers(stack.layout, command=backend._servers._command, ready_seconds=2)
    hasty = LocalServing(
        records=Records(stack.layout.services),
        servers=servers,
        proxy=Proxy(stack.layout),
        unpack=backend._trial._unpack,
    )
    shares, phase = {"iris-r1": 100}, Phase.ROLLED_BACK
    if way == "promote":
        with pytest.raises(InputError, match=r"taken back.*does not \w+ after 2 s"):
            hasty.promote(service="iris", release_id="r2")
    elif way == "finalize":
        ended = hasty.rollback(service="iris", release_id="r2")
        assert ended
        assert ended.phase is Phase.ROLLED_BACK
    else:
        # Only the taking back is in a hurry; the new version gets the time that it needs.
        with contextlib.suppress(CoalmineError):
            hasty.apply_canary(
                service="iris", image="r3:ok", version="v", percent=10, release_id="r3"
            )
        record = backend.apply_canary(
            service="iris", image="r3:ok", version="v", percent=10, release_id="r3"
        )
        assert record.stable == "iris-r1"
        shares, phase = {"iris-r1": 90, "iris-r3": 10}, Phase.CANARY
    seen = backend.observe("iris")
    assert {s.revision: s.percent for s in seen.shares} == shares
    assert seen.record is not None
    assert seen.record.phase is phase
    assert program not in stack.supervisor.states()
    with pytest.raises(CoalmineError, match=r"no canary to promote|does not own"):
        backend.promote(service="iris", release_id="r2")


def test_a_call_that_is_killed_frees_the_service(stack: Stack, backend: LocalServing) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from coalmine.serving.local import LocalServing\n"
        "def unpack(reference, into): print('here', flush=True); signal.pause()\n"
        "LocalServing.of(Path(sys.argv[1]), unpack).apply_canary(service='iris', image='v1:ok',"
        " version='v1', percent=10, release_id='r1')\n"
    )
    command = [sys.executable, "-c", script, str(stack.layout.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        os.kill(process.pid, signal.SIGKILL)
    record = Records(stack.layout.services).read("iris")
    assert record is not None
    assert record.phase is Phase.PREPARING
    again = backend.apply_canary(
        service="iris", image="v1:ok", version="v1", percent=10, release_id="r1"
    )
    assert again.phase is Phase.CANARY


def test_a_decision_is_carried_out_when_the_stack_is_back(
    stack: Stack, backend: LocalServing, prometheus_bin: Path
) -> None:
    for release in ("r1", "r2"):
        backend.apply_canary(
            service="iris", image=f"{release}:ok", version="v", percent=10, release_id=release
        )
        if release == "r1":
            backend.promote(service="iris", release_id="r1")
    stack.stop()
    with pytest.raises(Exception, match="coalmine up"):
        backend.rollback(service="iris", release_id="r2")
    stack.start(prometheus=prometheus_bin)
    backend.resume()
    assert {s.revision: s.percent for s in backend.observe("iris").shares} == {"iris-r1": 100}
    assert "server-iris-r2" not in stack.supervisor.states()


def test_a_port_that_was_taken_meanwhile_is_changed(
    stack: Stack, backend: LocalServing, prometheus_bin: Path
) -> None:
    backend.apply_canary(service="iris", image="v1:ok", version="v1", percent=10, release_id="r1")
    backend.promote(service="iris", release_id="r1")
    port = int(backend._servers.url("iris-r1").rpartition(":")[2])
    stack.stop()
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        # The stack's own servers know how the stand-in is started.
        backend._servers.replace_taken_ports()
        stack.start(prometheus=prometheus_bin)
        assert wait_for(lambda: backend.observe("iris").shares[0].ready, seconds=15)
    assert backend._servers.url("iris-r1") != f"http://127.0.0.1:{port}"
