"""What an accepted event is worth when things go wrong: exactly one run, counted by the engine."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.launcher.postgres import Postgres

pytestmark = pytest.mark.integration

SERVICES = 40
KILLS = 2


class Load:
    """Senders that go on until they are told to stop, and note what they were promised."""

    def __init__(self, *launchers: Any, senders: int = 2) -> None:
        self.launchers = launchers
        self.promised: dict[str, str] = {}
        self.unknown = 0
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(senders)
        self._work = [self._pool.submit(self._send, number) for number in range(senders)]

    def _send(self, sender: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            launcher = self.launchers[number % len(self.launchers)]
            try:
                service = f"s{number % SERVICES}"
                answer = launcher.post(id=f"{sender}-{number}", name="iris", service=service)
            except (httpx.HTTPError, httpx.UnsupportedProtocol):
                self.unknown += 1
                self._stop.wait(0.05)
                continue
            assert answer.status_code in {202, 503}, answer.text
            if answer.status_code == 202:
                self.promised[answer.json()["id"]] = service
            time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        for one in self._work:
            one.result()
        self._pool.shutdown()


def check_runs(launcher: Any, promised: dict[str, str]) -> None:
    """Every promise is one run, none is another's, and no service ran two at a time."""
    runs = launcher.runs()
    counts = Counter(run[0] for run in runs)
    assert set(promised) <= set(counts)
    assert set(counts.values()) == {1}
    ends: dict[str, float] = {}
    for _, service, begun, ended in runs:
        assert begun >= ends.get(service, 0.0)
        assert ended is not None
        ends[service] = ended


def wait_drained(launcher: Any) -> None:
    def drained() -> bool:
        text = httpx.get(f"{launcher.url}/metrics").text
        states = ("accepted", "running")
        return all(f'coalmine_releases{{state="{one}"}} 0.0' in text for one in states)

    launcher.wait_for(drained)


def kill_and_count(launcher: Any, kills: int) -> None:
    load = Load(launcher)
    chance = random.Random(7)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.6))
        launcher.end(signal.SIGKILL)
        launcher.start()
    load.stop()
    assert load.promised
    wait_drained(launcher)
    check_runs(launcher, load.promised)


def test_kill_9_under_load(counted: Callable[..., Any]) -> None:
    kill_and_count(counted(), KILLS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kill_9_a_hundred_times(counted: Callable[..., Any]) -> None:
    kill_and_count(counted(), 100)


def test_two_launchers_on_one_postgresql(counted: Callable[..., Any], postgres: Postgres) -> None:
    """They share the work; one is killed and stays away; the database goes away and comes back."""
    one, two = [counted(database=postgres.url, seconds=0.05) for _ in range(2)]
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


def test_sigterm_in_the_middle_of_a_request(counted: Callable[..., Any]) -> None:
    launcher = counted()
    sent = threading.Event()

    def slow_body() -> Any:
        body = launcher.event(name="iris")
        yield body[:10]
        sent.set()
        time.sleep(0.5)
        yield body[10:]

    def post() -> httpx.Response:
        headers = {"content-type": "application/cloudevents+json"}
        return httpx.post(launcher.url, content=slow_body(), headers=headers, timeout=20)

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(post)
        sent.wait(10)
        begun = time.monotonic()
        assert launcher.end(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 10
        assert answer.result().status_code == 202
    launcher.start()
    wait_drained(launcher)
    check_runs(launcher, {answer.result().json()["id"]: "iris"})


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
