"""Several processes that answer HTTP on one port are one launcher."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from coalmine._base.errors import InputError
from coalmine.client.launcher import follow_logs
from coalmine.launcher.admission import Admitted, ConflictError, Group
from coalmine.launcher.commit import GroupCommit
from coalmine.launcher.listen import listen, listen_beside
from coalmine.launcher.plan import make_plan
from coalmine.launcher.settings import Settings
from coalmine.launcher.turn import Turns
from tests.launcher.conftest import Launched
from tests.launcher.harness import read_graph
from tests.launcher.load import Load, check_runs, wait_drained
from tests.launcher.postgres import Postgres

BINDINGS = """\
bindings:
  - name: main
    types: [TYPE]
    pipeline: release
    parameters:
      - {name: name, value: $(body.name)}
      - {name: service, value: $(body.name)}
      - {name: version, value: ""}
      - {name: percent, value: "10"}
"""
TYPE = "dev.coalmine.release.requested.v1"
CE = {"content-type": "application/cloudevents+json"}
TALKS = "import pathlib, time\nprint('begun', flush=True)\nwhile True: time.sleep(0.05)"


class Pair(Launched):
    """A launcher with two receivers, and a connection to each of its processes."""

    def command(self) -> list[str]:
        return [*super().command(), str(self.folder / "bindings.yaml")]

    def connect(self) -> dict[int, httpx.Client]:
        """Connect until each process has a connection, which it keeps for five seconds."""
        self.wait_for(lambda: len(self.answering()) == 2)
        found: dict[int, httpx.Client] = {}

        def all_have_one() -> bool:
            client = httpx.Client(base_url=self.url, limits=httpx.Limits(max_connections=1))
            client.get("/healthz")
            owners = {self._owner(client), *found}
            assert len(owners) <= 2
            if self._owner(client) in found:
                client.close()
            else:
                found[self._owner(client)] = client
            return len(found) == 2

        self.wait_for(all_have_one)
        return found

    def _owner(self, client: httpx.Client) -> int:
        [connection] = client._transport._pool.connections  # type: ignore[attr-defined]
        stream = connection._connection._network_stream
        port = stream.get_extra_info("client_addr")[1]
        for process in self.answering():
            if any(one.raddr and one.raddr[1] == port for one in process.net_connections()):
                return process.pid
        raise AssertionError("nobody has the connection")

    def say(self, taken: str) -> None:
        """Write the bindings anew."""
        (self.folder / "bindings.yaml").write_text(BINDINGS.replace("TYPE", taken))


@contextlib.contextmanager
def running_pair(folder: Path, database: str = "") -> Iterator[Pair]:
    pair = Pair(folder, {"tasks": [{"name": "build", "code": TALKS}]})
    pair.say(TYPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_RECEIVERS", "2")
        patch.setenv("HARNESS_DATABASE", database)
        pair.start()
    yield pair
    pair.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def clients(pair: Pair) -> Iterator[list[httpx.Client]]:
    found = pair.connect()
    yield list(found.values())
    for client in found.values():
        client.close()


def takes(client: httpx.Client, body: bytes) -> bool:
    return client.post("/", content=body, headers=CE).is_success


def has_begun(client: httpx.Client, path: str) -> bool:
    return '"text": "begun"' in client.get(path).text


def race(pair: Pair, clients: list[httpx.Client], events: int) -> None:
    """Send each event to both processes at the same moment."""
    together = threading.Barrier(2)

    def send(client: httpx.Client) -> list[httpx.Response]:
        answers = []
        for number in range(events):
            body = pair.event(id=f"race-{number}", name="iris")
            together.wait(20)
            answers.append(client.post("/", content=body, headers=CE))
        return answers

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(send, clients)
    pairs = [sorted([a.status_code, b.status_code]) for a, b in zip(one, two, strict=True)]
    assert pairs == [[200, 202]] * events
    assert [a.json()["id"] for a in one] == [b.json()["id"] for b in two]


def test_equal_events_at_two_processes_are_one_release(
    pair: Pair, clients: list[httpx.Client]
) -> None:
    race(pair, clients, 20)


@pytest.mark.integration
def test_equal_events_on_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    with running_pair(tmp_path, postgres.url) as pair:
        found = pair.connect()
        race(pair, list(found.values()), 10)
        for client in found.values():
            client.close()


def test_each_process_shows_the_counts_of_all(pair: Pair, clients: list[httpx.Client]) -> None:
    for number, client in enumerate(clients):
        for _ in range(number + 1):
            assert client.post("/", content="", headers=CE | {"content-encoding": "x"}).is_error
    for client in clients:
        assert client.get("/readyz").text == "ready\n"
        shown = client.get("/metrics").text
        assert 'coalmine_events_total{status="415"} 3.0' in shown
        assert "coalmine_bindings_stale 0.0" in shown
        assert shown.count("# TYPE coalmine_releases gauge") == 1


def test_each_process_reads_the_bindings_again(pair: Pair, clients: list[httpx.Client]) -> None:
    body = pair.event(id="other", type="other", name="iris")
    assert [c.post("/", content=body, headers=CE).status_code for c in clients] == [422, 422]
    pair.say("other")
    pair.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    for client in clients:
        pair.wait_for(partial(takes, client, body))
    pair.say(TYPE)
    body = pair.event(id="back", name="iris")
    for client in clients:
        pair.wait_for(partial(takes, client, body))


def test_a_receiver_tells_and_decides_as_the_main_process_does(
    pair: Pair, clients: list[httpx.Client]
) -> None:
    assert pair.process
    body = pair.event(id="told", name="told")
    release = clients[0].post("/", content=body, headers=CE).json()["id"]
    pair.wait_for(lambda: clients[1].get(f"/releases/{release}").json()["state"] == "running")
    for client in clients:
        pair.wait_for(partial(has_begun, client, f"/releases/{release}/logs?follow=false"))
    followed = follow_logs(pair.url, release)
    assert next(event for event in followed if event.kind == "log").data["text"] == "begun"
    assert clients[1].post(f"/releases/{release}/cancel").status_code == 202
    pair.wait_for(lambda: clients[0].get(f"/releases/{release}").json()["state"] == "cancelled")


@pytest.mark.integration
def test_kill_9_a_receiver_and_then_the_main_process(counted: Callable[..., Any]) -> None:
    launcher = counted(receivers=2)
    launcher.port = int(launcher.url.rpartition(":")[2])
    load = Load(launcher)
    for wait in ("0.5 s", "1.0 s"):
        launcher.wait_for(lambda: len(launcher.answering()) == 2)
        launcher.answering()[1].kill()
        text = f"was killed by signal 9; another begins in {wait}"
        launcher.wait_for(lambda t=text: t in launcher.log.read_text())
    launcher.wait_for(lambda: len(launcher.answering()) == 2)
    main = psutil.Process(launcher.process.pid)
    left = main.children(recursive=True)
    assert len(left) == 2
    launcher.end(signal.SIGKILL)
    launcher.start()
    assert psutil.wait_procs(left, timeout=20)[1] == []
    answered = len(load.promised)
    launcher.wait_for(lambda: len(load.promised) > answered)
    load.stop()
    wait_drained(launcher)
    check_runs(launcher, load.promised)


@pytest.mark.integration
def test_kill_9_what_makes_receivers(counted: Callable[..., Any]) -> None:
    """Those that it made go on, and end with the main process."""
    launcher = counted(receivers=2)
    launcher.wait_for(lambda: len(launcher.answering()) == 2)
    main, receiver = launcher.answering()
    [nursery] = main.children()
    nursery.kill()
    launcher.wait_for(lambda: "have no successor" in launcher.log.read_text())
    assert receiver.is_running()
    receiver.suspend()
    try:
        launcher.process.send_signal(signal.SIGTERM)
        launcher.wait_for(lambda: '"stopping"' in launcher.log.read_text())
        assert psutil.wait_procs([main], timeout=1)[1] == [main]
    finally:
        receiver.resume()
    assert launcher.process.wait(20) == 0
    assert psutil.wait_procs([receiver], timeout=20)[1] == []


def test_a_port_is_shared_within_a_launcher_only() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen_beside("127.0.0.1", port) as second:
            assert second.getsockname()[1] == port
            with pytest.raises(InputError, match="in use"):
                listen("127.0.0.1", port)


def test_a_port_that_is_let_go_is_waited_for() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        found: list[socket.socket] = []
        waits = threading.Thread(target=lambda: found.append(listen("127.0.0.1", port, 20)))
        waits.start()
        waits.join(0.1)
        assert waits.is_alive()
    waits.join(20)
    assert found[0].getsockname()[1] == port
    found[0].close()


def test_turns_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """Two objects for one file are as two processes: the file is opened twice."""
    turns = [Turns(tmp_path / "turn") for _ in range(2)]
    count, most, seen = 0, 0, 0

    def work(number: int) -> None:
        nonlocal count, most, seen
        for _ in range(50):
            with turns[number % 2].take(), turns[number % 2].take():
                count += 1
                most = max(most, count)
                seen += 1
                threading.Event().wait(0.0001)  # lets the others run
                count -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert (most, seen, count) == (1, 200, 0)
    for one in turns:
        one.close()


def test_what_arrives_while_another_writes_is_in_the_next_commit(tmp_path: Path) -> None:
    commits: list[int] = []

    def accept(groups: Sequence[Group]) -> list[list[Admitted] | ConflictError]:
        commits.append(len(groups))
        return [[Admitted("r1", "accepted", new=True)] for _ in groups]

    mine, other = (Turns(tmp_path / "turn") for _ in range(2))
    commit = GroupCommit(accept, turn=mine.take)
    commit.start()

    async def send() -> None:
        with other.take():
            first = asyncio.create_task(commit.put([]))
            await asyncio.sleep(0.05)  # it waits for its turn, or would have been committed
            assert not first.done()
            rest = [asyncio.create_task(commit.put([])) for _ in range(4)]
            await asyncio.sleep(0)
        await asyncio.gather(first, *rest)

    asyncio.run(send())
    commit.stop()
    assert commits == [5]
    for one in (mine, other):
        one.close()


@pytest.mark.parametrize("number", [0, -1, 65])
def test_a_number_of_receivers_that_cannot_be(tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match="--receivers") as caught:
        make_plan(Settings(tmp_path, read_graph, receivers=number))
    assert "from 1 to 64" in caught.value.fix
