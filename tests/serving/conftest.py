from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from coalmine.serving.local import LocalServing
from coalmine.serving.records import Records
from coalmine.stack.proxy import Proxy
from coalmine.stack.servers import Servers
from coalmine.stack.stack import Stack

FAKE = Path(__file__).with_name("fake_server.py")
SERVICE = """
import bentoml

@bentoml.service(name="echo", workers=1)
class Echo:
    def __init__(self) -> None:
        if {broken}:
            raise ValueError("the model cannot be loaded")

    @bentoml.api
    def predict(self, text: str) -> str:
        return text + " from {version}"
"""
BUILD = """
import sys, bentoml
python = {"lock_packages": False}
bento = bentoml.build("service:Echo", build_ctx=".", include=["service.py"], python=python)
bentoml.export_bento(bento.tag, sys.argv[1], output_format="folder")
"""


@dataclass
class Load:
    """Calls one URL over 16 kept connections until it is stopped; counts who answered what."""

    url: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self.ended.wait(0.01):
                try:
                    answer = client.get(self.url)
                except httpx.HTTPError as error:
                    self.errors.append(repr(error))
                else:
                    revision = answer.headers.get("x-coalmine-revision", "")
                    self.answers[revision, answer.status_code] += 1

    def failed(self) -> dict[str, int]:
        """Count the answers that were no 200, by revision."""
        counts: Counter[str] = Counter()
        for (revision, status), count in self.answers.items():
            counts[revision] += count if status != 200 else 0
        return dict(+counts)

    def total(self, revision: str = "") -> int:
        return sum(count for (who, _), count in self.answers.items() if revision in ("", who))


def fake_command(bento: Path, port: int) -> tuple[str, ...]:
    return (sys.executable, "-S", str(FAKE), str(bento), str(port))


def fake_unpack(reference: str, into: Path) -> Path:
    """An image reference is ``VERSION:KIND``; kinds: ok, bad, crash, never."""
    version, kind = reference.split(":")
    (into / "bento").mkdir(parents=True)
    (into / "bento" / "model.json").write_text(json.dumps({"version": version, "kind": kind}))
    return into / "bento"


def _fake_backend(stack: Stack, **faulty: object) -> LocalServing:
    parts: dict[str, object] = {
        "records": Records(stack.layout.services),
        "servers": Servers(stack.layout, command=fake_command, ready_seconds=10),
        "proxy": Proxy(stack.layout, drain_seconds=5),
        "unpack": fake_unpack,
    }
    return LocalServing(**{**parts, **faulty})  # type: ignore[arg-type]


def _service(version: str, *, broken: bool) -> str:
    return SERVICE.format(broken=broken, version=version)


@pytest.fixture(scope="session")
def prometheus_bin() -> Path:
    found = os.environ.get("COALMINE_PROMETHEUS_BIN") or shutil.which("prometheus")
    if not found:
        pytest.skip("no Prometheus on PATH and COALMINE_PROMETHEUS_BIN is not set")
    return Path(found)


@pytest.fixture
def stack(tmp_path: Path, prometheus_bin: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "state")
    try:
        stack.start(prometheus=prometheus_bin)
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def running_stack(
    tmp_path_factory: pytest.TempPathFactory, prometheus_bin: Path
) -> Iterator[Stack]:
    """One stack for a module's tests."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "state")
    try:
        stack.start(prometheus=prometheus_bin)
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def shared_stack(running_stack: Stack) -> Iterator[Stack]:
    """The module's stack; what a test leaves in it is cleared away."""
    yield running_stack
    proxy, servers = Proxy(running_stack.layout), Servers(running_stack.layout)
    for service in Records(running_stack.layout.services).services():
        proxy.route(service, {}, {})
    for cluster in proxy.admin.hosts():
        proxy.remove_cluster(cluster)
    for program in running_stack.supervisor.declared():
        if program.startswith("server-"):
            servers.remove(program.removeprefix("server-"))
    shutil.rmtree(running_stack.layout.services, ignore_errors=True)


@pytest.fixture
def backend(stack: Stack) -> LocalServing:
    return _fake_backend(stack)


@pytest.fixture
def make_backend() -> Callable[..., LocalServing]:
    """Make a backend over fake model servers, with some of its parts replaced."""
    return _fake_backend


@pytest.fixture
def load() -> Iterator[Callable[[str], Load]]:
    """Start a load on a URL; it ends with the test."""
    started: list[Load] = []
    with ThreadPoolExecutor(64) as pool:

        def start(url: str) -> Load:
            started.append(Load(url))
            for _ in range(16):
                pool.submit(started[-1].run)
            return started[-1]

        try:
            yield start
        finally:
            for each in started:
                each.ended.set()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bento, as BentoML builds it; only once, for that takes seconds."""
    folder = tmp_path_factory.mktemp("bento")
    (folder / "service.py").write_text(_service("v0", broken=False))
    home = {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "true"}
    # `uv`, which BentoML calls, is installed beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-c", BUILD, str(folder / "out")]
    env = {**os.environ, **home, "PATH": path}
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    return folder / "out"


@pytest.fixture
def build_bento(tmp_path: Path, built: Path) -> Callable[..., Path]:
    """Make a bento of a version that its answers name; gives its folder."""

    def make(version: str, *, broken: bool = False) -> Path:
        folder = shutil.copytree(built, tmp_path / version)
        (folder / "src" / "service.py").write_text(_service(version, broken=broken))
        return folder

    return make
