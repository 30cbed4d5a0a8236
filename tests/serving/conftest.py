from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coalmine.serving.local import LocalServing
from coalmine.serving.records import Records
from coalmine.stack.proxy import Proxy
from coalmine.stack.servers import Servers
from coalmine.stack.stack import Stack

FAKE = Path(__file__).with_name("fake_server.py")


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


@pytest.fixture
def backend(stack: Stack) -> LocalServing:
    return _fake_backend(stack)


@pytest.fixture
def make_backend() -> Callable[..., LocalServing]:
    """Make a backend over fake model servers, with some of its parts replaced."""
    return _fake_backend
