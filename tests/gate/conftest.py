"""Policies, evidence and a Prometheus for the gate's tests."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coalmine.gate.evidence import Evidence
from coalmine.gate.model import Check, FailAfter, NoData, Policy
from coalmine.metrics.protocol import Sample, Series

SINCE = 1_700_000_000.0
Values = Sequence[float | None]


def make_check(**changes: Any) -> Check:
    check = Check(
        name="errors",
        query='errors{revision="${canary}"}',
        minimum=None,
        maximum=0.05,
        fail_after=FailAfter(consecutive=3),
        no_data=NoData.WAIT,
        over=10.0,
        unit="ratio",
    )
    return replace(check, **changes)


def make_policy(*checks: Check, **changes: Any) -> Policy:
    policy = Policy(
        name="test",
        window=10.0,
        step=1.0,
        delay=0.0,
        timeout=30.0,
        min_requests=10,
        coverage=0.8,
        checks=checks or (make_check(),),
    )
    return replace(policy, **changes)


def make_series(values: Values, *, step: float = 1.0, **labels: str) -> Series:
    samples = [Sample(SINCE + i * step, v) for i, v in enumerate(values) if v is not None]
    return Series(labels=tuple(sorted(labels.items())), samples=tuple(samples))


def make_evidence(*values: Values, rate: float = 5.0, requests: Values | None = None) -> Evidence:
    """Series of the check ``errors``, one a sequence, and a counter that grows by ``rate``."""
    length = max([len(one) for one in values], default=0)
    counter = requests if requests is not None else [rate * i for i in range(length)]
    series = tuple(make_series(one, pod=str(i)) for i, one in enumerate(values))
    return Evidence(since=SINCE, requests=(make_series(counter),), checks={"errors": series})


@pytest.fixture(scope="session")
def make() -> Any:
    """Give the makers above to test modules, which cannot import this one."""

    class Makers:
        since = SINCE
        check = staticmethod(make_check)
        policy = staticmethod(make_policy)
        series = staticmethod(make_series)
        evidence = staticmethod(make_evidence)

    return Makers


def _tool(name: str) -> str:
    folder = os.environ.get("COALMINE_PROMETHEUS_BIN")
    places = [Path(folder), Path(folder).parent] if folder else []
    found = next((p / name for p in places if (p / name).is_file()), None)
    path = str(found) if found else shutil.which(name)
    if not path:
        pytest.skip(f"no {name} on PATH or at COALMINE_PROMETHEUS_BIN")
    return path


@contextlib.contextmanager
def recorded_prometheus(folder: Path, text: str) -> Iterator[str]:
    """Run a Prometheus over OpenMetrics text; give its URL."""
    source, data, config = folder / "in.txt", folder / "data", folder / "prometheus.yml"
    source.write_text(text + "# EOF\n")
    config.write_text("{}\n")
    create = [_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*create, str(source), str(data)], check=True, capture_output=True, timeout=60)
    with running_prometheus(config, data) as url:
        yield url


@contextlib.contextmanager
def running_prometheus(config: Path, data: Path, *flags: str) -> Iterator[str]:
    """Run a Prometheus with a configuration; give its URL."""
    url = f"http://127.0.0.1:{_free_port()}"
    command = [_tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", "--log.level=error"]
    command += ["--storage.tsdb.retention.time=100y", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_ready(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start a Prometheus over OpenMetrics text; give its URL."""
    with contextlib.ExitStack() as stack:
        yield lambda text: stack.enter_context(recorded_prometheus(tmp_path, text))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Do the same for a whole module; the same text is the same Prometheus."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(text: str) -> str:
            return stack.enter_context(recorded_prometheus(tmp_path_factory.mktemp("p"), text))

        yield start


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[str]:
    """Run an empty Prometheus that takes remote writes; give its URL."""
    config = tmp_path / "prometheus.yml"
    config.write_text("{}\n")
    flag = "--web.enable-remote-write-receiver"
    with running_prometheus(config, tmp_path / "data", flag) as url:
        yield url


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_ready(url: str) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"no Prometheus at {url}")
