"""What an accepted event is worth when things go wrong: exactly one run, counted by the engine."""

from __future__ import annotations

import json
import random
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.launcher.load import Load, check_runs, wait_drained
from tests.launcher.postgres import Postgres

pytestmark = pytest.mark.integration

KILLS = 3
BOTH = pytest.mark.parametrize("receivers", [1, 2])


def kill_and_count(launcher: Any, kills: int) -> None:
    load = Load(launcher)
    chance = random.Random(7)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.6))
        launcher.end(signal.SIGKILL)
        launcher.start(ready=chance.random() < 0.7)  # some are hit while they begin
    launcher.wait_for(launcher.answers)
    answered = len(load.promised)
    launcher.wait_for(lambda: len(load.promised) > answered)
    load.stop()
    wait_drained(launcher)
    check_runs(launcher, load.promised)


@BOTH
def test_kill_9_under_load(counted: Callable[..., Any], receivers: int) -> None:
    """Each time on the same port, which receivers of the one that was killed may still have."""
    launcher = counted(receivers=receivers)
    launcher.port = int(launcher.url.rpartition(":")[2])
    kill_and_count(launcher, KILLS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kill_9_a_hundred_times(
    counted: Callable[..., Any], request: pytest.FixtureRequest, kind: str
) -> None:
    on_postgres = kind == "postgresql"
    database = request.getfixturevalue("postgres").url if on_postgres else ""
    kill_and_count(counted(database=database), 100)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_the_database_is_away_for_thirty_seconds(
    counted: Callable[..., Any], postgres: Postgres
) -> None:
    launcher = counted(database=postgres.url, seconds=0.05)
    load = Load(launcher)
    launcher.wait_for(lambda: len(load.promised) > 10)
    postgres.stop()
    launcher.wait_for(lambda: launcher.post(id="away", name="iris").status_code == 503)
    time.sleep(30.0)
    answered = len(load.promised)
    assert launcher.post(id="away", name="iris").headers["retry-after"]
    postgres.start()
    launcher.wait_for(lambda: len(load.promised) > answered + 10)
    load.stop()
    wait_drained(launcher)
    check_runs(launcher, load.promised)
    assert launcher.end(signal.SIGTERM) == 0


def test_two_launchers_on_one_postgresql(counted: Callable[..., Any], postgres: Postgres) -> None:
    """They share the work; one is killed and stays away; the database goes away and comes back."""
    one = counted(database=postgres.url, seconds=0.05, receivers=2)
    two = counted(database=postgres.url, seconds=0.05)
    load = Load(one, two)
    time.sleep(0.5)
    two.end(signal.SIGKILL)
    load.launchers = (one,)
    postgres.stop()
    one.wait_for(lambda: one.post(id="away", name="iris").status_code == 503)
    away = one.post(id="away", name="iris")
    assert int(away.headers["retry-after"]) >= 1
    assert away.headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{one.url}/healthz").status_code == 200
    assert httpx.get(f"{one.url}/readyz").status_code == 503
    postgres.start()
    one.wait_for(lambda: one.post(id="back", name="iris").status_code in {200, 202})
    load.stop()
    one.wait_for(lambda: "took over" in one.log.read_text() or two_had_none(one))
    wait_drained(one)
    check_runs(one, load.promised)


def two_had_none(one: Any) -> bool:
    text = httpx.get(f"{one.url}/metrics").text
    return 'coalmine_releases{state="running"} 0.0' in text


@BOTH
def test_sigterm_in_the_middle_of_a_request(counted: Callable[..., Any], receivers: int) -> None:
    launcher = counted(receivers=receivers)
    launcher.wait_for(lambda: len(launcher.answering()) == receivers)
    processes = launcher.answering()
    port = int(launcher.url.rpartition(":")[2])
    body = launcher.event(name="iris")
    head = (
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/cloudevents+json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 "), "it is being read"
        begun = time.monotonic()
        launcher.process.send_signal(signal.SIGTERM)
        launcher.wait_for(lambda: not listens(port))
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert launcher.process.wait(20) == 0
    assert time.monotonic() - begun < 10
    assert not any(one.is_running() for one in processes[1:])
    assert "another begins" not in launcher.log.read_text()
    assert answer.startswith(b"HTTP/1.1 202 ")
    launcher.start()
    wait_drained(launcher)
    check_runs(launcher, {json.loads(answer.partition(b"\r\n\r\n")[2])["id"]: "iris"})


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except OSError:
        return False
    return True


def test_a_full_disk(counted: Callable[..., Any]) -> None:
    """No file may grow, as on a full disk: refused with 503, and taken once there is room."""
    launcher = counted()
    assert launcher.post(id="1", name="iris").status_code == 202
    wait_drained(launcher)
    pid = launcher.process.pid
    size = max(file.stat().st_size for file in launcher.state.glob("ledger.db*"))
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size // 2, unlimited[1]))
    refused = launcher.post(id="2", name="iris")
    assert refused.status_code == 503
    assert "disk" in refused.json()["detail"] + refused.json()["fix"]
    assert refused.headers["retry-after"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    assert launcher.post(id="2", name="iris").status_code == 202
    wait_drained(launcher)
    assert len(launcher.runs()) == 2


def test_a_locked_database(counted: Callable[..., Any]) -> None:
    launcher = counted()
    other = sqlite3.connect(launcher.state / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = launcher.post(id="1", name="iris")
    assert (refused.status_code, "locked" in refused.text) == (503, True)
    assert httpx.get(f"{launcher.url}/releases").json() == []
    other.execute("COMMIT")
    other.close()
    assert launcher.post(id="1", name="iris").status_code == 202
    wait_drained(launcher)
    assert len(launcher.runs()) == 1
