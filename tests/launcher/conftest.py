"""A real launcher in a process of its own, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from event_sink import EventSink, running_sink

from coalmine.launcher.announce import read_announced
from coalmine.launcher.ledger import ledger_url
from tests.launcher.bench import Bench
from tests.launcher.forked import Forked, fork
from tests.launcher.postgres import Postgres, find_postgres, running_postgres

COUNTING = Path(__file__).with_name("counting.py")
HARNESS = Path(__file__).with_name("harness.py")


class Launched:
    """One state folder, and the launcher that runs with it now."""

    def __init__(
        self, folder: Path, pipeline: dict[str, Any], *, real: bool = False, **options: object
    ) -> None:
        self.real = real
        self.options = {f"--{name}": value for name, value in options.items()}
        self.folder = folder
        self.state = folder / "state"
        self.pipelines = folder / "pipelines"
        self.pipelines.mkdir(parents=True)
        (self.pipelines / "release.yaml").write_text(json.dumps(pipeline))
        self.log = folder / "launcher.log"
        self.process: subprocess.Popen[bytes] | Forked | None = None

    def command(self) -> list[str]:
        if not self.real:
            return [str(HARNESS), str(self.state), str(self.pipelines), "0"]
        options = {
            "--port": "0",
            "--state": self.state,
            "--pipelines": self.pipelines,
            **self.options,
        }
        words = [str(word) for option in options.items() for word in option]
        return ["-m", "coalmine", "launcher", *words]

    def start(self, *, ready: bool = True) -> None:
        first, *words = self.command()
        env = {**os.environ, "PYTHONPATH": str(HARNESS.parents[2])}
        if first.endswith(".py") and "LD_PRELOAD" not in env:
            self.process = fork(f"tests.launcher.{Path(first).stem}", words, self.log, env)
        else:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, first, *words], stderr=log, env=env
                )
        if ready:
            self.wait_for(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(self.log.read_text())
        try:
            announced = json.loads((self.state / "launcher.json").read_text())
            return bool(
                announced["pid"] == self.process.pid
                and httpx.get(f"{announced['url']}/readyz").status_code == 200
            )
        except (httpx.HTTPError, OSError):
            return False

    @property
    def url(self) -> str:
        return read_announced(self.state)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def event(self, *, id: str = "1", type: str = "", **data: object) -> bytes:  # noqa: A002
        event = {
            "specversion": "1.0",
            "id": id,
            "source": "/test",
            "type": type or "dev.coalmine.release.requested.v1",
            "data": data,
        }
        return json.dumps(event).encode()

    def post(self, **event: Any) -> httpx.Response:
        return self.send(self.event(**event))

    def send(self, body: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        structured = {"content-type": "application/cloudevents+json"}
        return httpx.post(self.url, content=body, headers=structured | named)

    def get(self, path: str) -> str:
        return httpx.get(f"{self.url}{path}").text

    def releases(self) -> list[dict[str, Any]]:
        """The releases, the oldest first."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/releases?limit=1000").json()
        return found[::-1]

    def one(self, release_id: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/releases/{release_id}").json()
        return found

    def answering(self) -> list[psutil.Process]:
        """The processes that answer HTTP, the main one first."""
        assert self.process is not None
        main = psutil.Process(self.process.pid)
        return [main, *(each for one in main.children() for each in one.children())]

    def newest(self) -> dict[str, Any]:
        """The release that was accepted last."""
        [found] = httpx.get(f"{self.url}/releases?limit=1").json()
        return dict(found)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 150
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def wait_ended(self) -> list[dict[str, Any]]:
        self.wait_for(lambda: all(one["ended_at"] for one in self.releases()))
        return self.releases()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Counted(Launched):
    """A launcher whose engine counts its runs."""

    def __init__(
        self,
        folder: Path,
        engine: Path,
        *,
        database: str = "",
        seconds: float = 0.0,
        receivers: int = 1,
    ) -> None:
        super().__init__(folder, {})
        self.engine = engine
        self.port = 0
        self.words = [database, str(receivers), str(engine), str(seconds)]

    def command(self) -> list[str]:
        return [str(COUNTING), str(self.state), str(self.pipelines), str(self.port), *self.words]

    def runs(self) -> list[tuple[str, str, float, float | None]]:
        """Every run that its engine was given: id, service, when it began and ended."""
        with contextlib.closing(sqlite3.connect(self.engine)) as connection:
            return connection.execute("SELECT * FROM run ORDER BY begun").fetchall()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Callable[..., Counted]]:
    made: list[Counted] = []

    def make(**options: Any) -> Counted:
        made.append(Counted(tmp_path / f"counted-{len(made)}", tmp_path / "engine.db", **options))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    made: list[Launched] = []

    def make(pipeline: dict[str, Any], *, real: bool = False, **options: object) -> Launched:
        """With ``real`` it is the command itself, whose pipelines are KFP IR (JSON is YAML)."""
        made.append(Launched(tmp_path / f"launched-{len(made)}", pipeline, real=real, **options))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A launcher that no test of a module changes."""
    made = Launched(tmp_path_factory.mktemp("quiet"), {"tasks": []})
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    found = find_postgres()
    if found is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with running_postgres(found) as postgres:
        yield postgres


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """An empty database."""
    postgres_server.empty()
    return postgres_server


@pytest.fixture
def sink() -> Iterator[EventSink]:
    with running_sink() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def bench(request: pytest.FixtureRequest, tmp_path: Path, sink: EventSink) -> Iterator[Bench]:
    on_sqlite = request.param == "sqlite"
    url = ledger_url(tmp_path) if on_sqlite else request.getfixturevalue("postgres").url
    made = Bench(url, sink)
    yield made
    made.close()
