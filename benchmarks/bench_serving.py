"""What the split adds to a request, and how soon a promotion is all of the traffic.

The server behind the proxy is the tests' own, which answers at once; it is called through
Envoy at 90 to 10 and directly, in turn, over one kept connection.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

import httpx
from measure import print_head

from coalmine.serving.local import LocalServing
from coalmine.serving.records import Records
from coalmine.stack.proxy import Proxy
from coalmine.stack.servers import Servers
from coalmine.stack.stack import Stack

CALLS = 3000
BLOCK = 25
"""Calls in a row of one kind: short, so that noise on the machine meets both alike."""
PROMOTIONS = 10
SERVER = Path(__file__).parents[1] / "tests" / "serving" / "fake_server.py"


def _command(bento: Path, port: int) -> tuple[str, ...]:
    return (sys.executable, "-S", str(SERVER), str(bento), str(port))


def _unpack(reference: str, into: Path) -> Path:
    into.mkdir(parents=True)
    (into / "model.json").write_text(json.dumps({"version": reference, "kind": "ok"}))
    return into


def _call(client: httpx.Client, url: str, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        client.get(url).raise_for_status()
        taken.append(time.perf_counter() - began)
    return taken


def _canary(backend: LocalServing, release: str) -> None:
    backend.apply_canary(
        service="iris", image=release, version=release, percent=10, release_id=release
    )


def _added(stack: Stack, servers: Servers) -> None:
    direct: list[float] = []
    split: list[float] = []
    urls = (servers.url("iris-r0"), stack.endpoints().proxy + "/iris")
    with httpx.Client(trust_env=False) as client:
        for number in range(CALLS // BLOCK + 1):
            for url, taken in zip(urls, (direct, split), strict=True):
                found = _call(client, url + "/predict", BLOCK)
                taken.extend(found if number else [])
    for name, quantile in (("p50", 49), ("p99", 98)):
        near, far = (
            1000 * statistics.quantiles(taken, n=100)[quantile] for taken in (direct, split)
        )
        print(
            f"  {name}: direct {near:.2f} ms, by the split {far:.2f} ms, added {far - near:.2f} ms"
        )


def _until_routed(stack: Stack, backend: LocalServing, release: str) -> tuple[float, float]:
    """From the promotion to the last answer of the old version, and to the end of the step."""
    ended, last = threading.Event(), [0.0]
    began = time.perf_counter()

    def load() -> None:
        with httpx.Client(trust_env=False) as client:
            while not ended.is_set():
                answer = client.get(stack.endpoints().proxy + "/iris/predict")
                if answer.headers["x-coalmine-revision"] != f"iris-{release}":
                    last[0] = time.perf_counter() - began

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    asked = time.perf_counter() - began
    backend.promote(service="iris", release_id=release)
    step = time.perf_counter() - began - asked
    ended.set()
    for thread in threads:
        thread.join()
    return max(0.0, last[0] - asked), step


def main() -> None:
    state = Path(".coalmine/bench/serving").absolute()
    shutil.rmtree(state, ignore_errors=True)
    stack = Stack(state)
    try:
        stack.start(bound=True)
        servers = Servers(stack.layout, command=_command)
        backend = LocalServing(
            records=Records(stack.layout.services),
            servers=servers,
            proxy=Proxy(stack.layout),
            unpack=_unpack,
        )
        _canary(backend, "r0")
        backend.promote(service="iris", release_id="r0")
        _canary(backend, "r1")
        print_head("what the split adds to a request")
        _added(stack, servers)
        rows = []
        for number in range(1, PROMOTIONS + 1):
            if number > 1:
                _canary(backend, f"r{number}")
            rows.append(_until_routed(stack, backend, f"r{number}"))
    finally:
        stack.stop()
    print_head("from promote to all of the traffic")
    names = ("last answer of the old version", "step done")
    for column, name in enumerate(names):
        taken = [row[column] for row in rows]
        low, high = (1000 * edge for edge in (min(taken), max(taken)))
        print(f"  {name:32} {1000 * statistics.median(taken):7.0f} ms   {low:.0f}..{high:.0f} ms")


if __name__ == "__main__":
    main()
