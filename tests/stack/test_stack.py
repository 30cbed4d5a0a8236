from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

import coalmine
from coalmine._base.errors import CoalmineError, InputError
from coalmine.stack.programs import Program
from coalmine.stack.stack import Ports, Stack
from coalmine.stack.sweep import marked
from coalmine.stack.waiting import wait_for

pytestmark = pytest.mark.integration

SLEEPER = Program("x", (sys.executable, "-S", "-c", "import time; time.sleep(600)"))


def scraped(stack: Stack) -> set[str]:
    query = {"query": "up == 1"}
    answer = httpx.get(
        stack.endpoints().prometheus + "/api/v1/query", params=query, trust_env=False
    )
    return {series["metric"]["job"] for series in answer.json()["data"]["result"]}


def test_it_starts_is_scraped_and_leaves_nothing(stack: Stack, prometheus_bin: Path) -> None:
    endpoints = stack.start(prometheus=prometheus_bin)
    assert endpoints == stack.endpoints()
    assert [program.name for program in stack.programs()] == ["envoy", "prometheus"]
    assert wait_for(lambda: {"envoy", "prometheus"} <= scraped(stack), seconds=60)
    pids = [program.pid for program in stack.programs()]
    assert stack.start(prometheus=prometheus_bin) == endpoints
    assert [program.pid for program in stack.programs()] == pids
    stack.stop()
    assert marked(stack.layout.state) == []
    with pytest.raises(CoalmineError, match="no stack is running"):
        stack.endpoints()
    with pytest.raises(CoalmineError, match="does not answer"):
        stack.programs()
    assert stack.start(prometheus=prometheus_bin) == endpoints


def test_after_a_killed_supervisor_orphans_are_swept_and_programs_are_back(
    stack: Stack, prometheus_bin: Path
) -> None:
    stack.start(prometheus=prometheus_bin)
    # Its child ignores that its parent ends, as a model server's worker does.
    child = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', '{}'])"
    loop = "import time; time.sleep(600)"
    command = (sys.executable, "-S", "-c", child.format(loop))
    stack.supervisor.supervise(Program("x", command))
    assert wait_for(lambda: len(marked(stack.layout.state, "x")) == 2, seconds=60)
    orphan = max(marked(stack.layout.state, "x"), key=lambda process: process.create_time())
    supervisord = int((stack.layout.supervisor / "supervisord.pid").read_text())
    os.kill(supervisord, signal.SIGKILL)
    assert wait_for(lambda: len(marked(stack.layout.state)) == 1, seconds=60)
    assert orphan.is_running()
    stack.start(prometheus=prometheus_bin)
    assert not orphan.is_running()
    assert wait_for(lambda: len(marked(stack.layout.state, "x")) == 2, seconds=60)


def test_stop_cleans_up_after_a_killed_supervisor(stack: Stack, prometheus_bin: Path) -> None:
    stack.start(prometheus=prometheus_bin)
    supervisord = int((stack.layout.supervisor / "supervisord.pid").read_text())
    os.kill(supervisord, signal.SIGKILL)
    stack.stop()
    assert marked(stack.layout.state) == []


def test_a_bound_stack_ends_with_its_starter(tmp_path: Path, prometheus_bin: Path) -> None:
    state = tmp_path / "state"
    script = (
        "import sys, signal; from pathlib import Path\n"
        "from coalmine.stack.stack import Stack\n"
        "stack = Stack(Path(sys.argv[1])); stack.start(prometheus=Path(sys.argv[2]), bound=True)\n"
        "print('up', flush=True); signal.pause()\n"
    )
    command = [sys.executable, "-c", script, str(state), str(prometheus_bin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        group = os.getpgid(process.pid)
        assert all(os.getpgid(each.pid) != group for each in marked(state))
        process.kill()
    assert wait_for(lambda: marked(state) == [], seconds=60)
    Stack(state).stop()  # Its socket's folder, where the path was too long for one, is still there.


def test_a_bound_stack_is_stopped_by_hand_too(stack: Stack, prometheus_bin: Path) -> None:
    stack.start(prometheus=prometheus_bin, bound=True)
    stack.stop()
    assert marked(stack.layout.state) == []


def test_a_port_in_use(stack: Stack, prometheus_bin: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"--proxy-port: port {port} is in use"):
            stack.start(prometheus=prometheus_bin, ports=Ports(proxy=port))
    assert marked(stack.layout.state) == []


def test_a_part_that_does_not_start_takes_the_others_down(stack: Stack, tmp_path: Path) -> None:
    broken = tmp_path / "prometheus"
    broken.write_text("#!/bin/sh\necho out of order\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(CoalmineError, match=r"(?s)prometheus does not start.*out of order"):
        stack.start(prometheus=broken)
    assert marked(stack.layout.state) == []


def test_a_part_that_is_only_slow_is_not_called_broken(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "prometheus"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr("coalmine.stack.health.START_SECONDS", 0.5)
    with pytest.raises(CoalmineError, match=r"is not ready after 0.5 s.*\n.*is empty") as caught:
        stack.start(prometheus=slow)
    assert "busy" in caught.value.fix
    assert marked(stack.layout.state) == []


@pytest.mark.parametrize("name", ["a b;c %(x)s 'q' \"d\" #é", "long-" * 24])
def test_any_state_path_will_do(tmp_path: Path, prometheus_bin: Path, name: str) -> None:
    stack = Stack(tmp_path / name)
    try:
        endpoints = stack.start(prometheus=prometheus_bin)
        assert httpx.get(endpoints.proxy, trust_env=False).status_code == 404
        socket_folder = Path(stack.supervisor.socket).parent
    finally:
        stack.stop()
    assert socket_folder == stack.layout.supervisor or not socket_folder.exists()


def test_a_kept_program_comes_back_and_a_trial_does_not(stack: Stack, prometheus_bin: Path) -> None:
    stack.start(prometheus=prometheus_bin)
    supervisor = stack.supervisor
    trial = Program(SLEEPER.name, SLEEPER.argv, keep=False)
    supervisor.supervise(trial)
    assert wait_for(lambda: marked(stack.layout.state, trial.name), seconds=60)
    first = supervisor.states()[trial.name].pid
    supervisor.supervise(trial)
    supervisor.keep(trial)
    assert supervisor.states()[trial.name].pid == first
    psutil.Process(first).kill()
    assert wait_for(lambda: supervisor.states()[trial.name].pid not in (0, first), seconds=60)
    supervisor.supervise(Program("y", SLEEPER.argv, keep=False))
    second = supervisor.states()["y"].pid
    assert wait_for(lambda: marked(stack.layout.state, "y"), seconds=60)
    psutil.Process(second).kill()
    assert wait_for(lambda: supervisor.states()["y"].state == "EXITED", seconds=60)
    supervisor.dismiss(trial.name)
    supervisor.dismiss(trial.name)
    assert trial.name not in supervisor.states()


def up(stack: Stack, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coalmine", "up", "--state", str(stack.layout.state)]
    given = [str(option) for option in options]
    return subprocess.run([*command, *given], capture_output=True, check=False, text=True)


def given_to_launcher(stack: Stack) -> tuple[int, dict[str, str]]:
    pid = stack.supervisor.states()["launcher"].pid
    environ = psutil.Process(pid).environ()
    names = ("COALMINE_POLICY", "COALMINE_STORE")
    given = {name: environ[name] for name in names if name in environ}
    argv = psutil.Process(pid).cmdline()
    return pid, given | {"--bindings": argv[argv.index("--bindings") + 1]}


@pytest.mark.usefixtures("prometheus_bin")
def test_up_changes_only_what_is_asked_for_anew(stack: Stack, tmp_path: Path) -> None:
    bindings = tmp_path / "bindings.yaml"
    package = Path(coalmine.__file__).parent
    bindings.write_text((package / "launcher" / "bindings.yaml").read_text())
    first = up(stack, "--policy", "demo", "--store", tmp_path, "--bindings", bindings)
    assert (first.returncode, first.stderr) == (0, "")
    pid, given = given_to_launcher(stack)
    wanted = {
        "COALMINE_POLICY": "demo",
        "COALMINE_STORE": str(tmp_path),
        "--bindings": str(bindings),
    }
    assert given == wanted
    assert up(stack).stderr == ""
    assert given_to_launcher(stack) == (pid, wanted)

    for option, value, message in [
        ("--policy", "nowhere.yaml", "nowhere.yaml cannot be read"),
        ("--store", tmp_path / "nowhere", "there is no folder"),
    ]:
        refused = up(stack, option, str(value))
        assert refused.returncode == 2
        assert message in refused.stderr
    assert given_to_launcher(stack) == (pid, wanted)

    assert "restarted launcher" in up(stack, "--policy", "default").stderr
    assert given_to_launcher(stack)[1] == wanted | {"COALMINE_POLICY": "default"}
    stack.stop()
    assert up(stack).stderr == ""
    assert given_to_launcher(stack)[1] == wanted | {"COALMINE_POLICY": "default"}


def test_status_and_down_on_the_command_line(stack: Stack, prometheus_bin: Path) -> None:
    stack.start(prometheus=prometheus_bin)
    command = [sys.executable, "-m", "coalmine"]
    state = ["--state", str(stack.layout.state)]
    shown = subprocess.run(
        [*command, "status", *state, "-o", "json"], capture_output=True, check=True, text=True
    )
    status = json.loads(shown.stdout)
    assert status["endpoints"]["proxy"] == stack.endpoints().proxy
    assert [program["name"] for program in status["programs"]] == ["envoy", "prometheus"]
    assert status["services"] == []
    told = json.loads(up(stack, "--no-launcher", "-o", "json").stdout)
    assert told == {
        "state": str(stack.layout.state),
        "endpoints": status["endpoints"],
        "restarted": [],
    }
    down = subprocess.run(
        [*command, "down", *state, "-o", "json"], capture_output=True, check=True, text=True
    )
    assert json.loads(down.stdout) == {"state": str(stack.layout.state), "stopped": True}
    assert marked(stack.layout.state) == []
    gone = subprocess.run([*command, "status", *state], capture_output=True, check=False, text=True)
    assert gone.returncode == 1
    assert "no stack is running" in gone.stderr
