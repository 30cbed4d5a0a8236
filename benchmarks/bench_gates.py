"""What 500 gates in one process cost, at a step of 15 s, beside the questions alone.

A real Prometheus holds what Envoy exports of 500 canaries and 500 stables. Every gate is a thread
in ``run_gate``, as a step runs it, with the shipped default policy; all share one source. The floor
asks the same queries as often and judges nothing.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import psutil
from measure import print_head

from coalmine.gate.plan import Plan, make_plan
from coalmine.gate.policy import load_policy
from coalmine.gate.runner import Tick, measure, run_gate
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.stack.ports import free_port
from coalmine.stack.prometheus_binary import default_cache, ensure

GATES, STEP, TURNS, AGE = 500, 15, 2, 480
CONNECTIONS = 8


class Ended(Exception):  # noqa: N818 - a gate is told to go by it
    """The measurement is over."""


def main() -> None:
    since = int(time.time()) - AGE
    plans = [plan_of(number) for number in range(GATES)]
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus(Path(folder), since) as (process, url),
        PrometheusSource(url, connections=CONNECTIONS) as source,
    ):
        floor = measured(process, lambda: asked(plans, source, since))
        gates = measured(process, lambda: run_all(plans, source, since))
    print_head(f"{GATES} gates in one process, {len(plans[0].queries) + 1} queries each {STEP} s")
    for name, (cpu, other), turns in (("questions alone", floor, 1), ("gates", gates, TURNS)):
        share, theirs = (100 * seconds / turns / STEP for seconds in (cpu, other))
        each = 1000 * cpu / turns / GATES
        print(
            f"  {name:16} {share:5.1f} % of one core, {each:.1f} ms a gate and turn; "
            f"Prometheus {theirs:.0f} %"
        )
    memory = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    print(f"  at most {CONNECTIONS} queries at once; {memory:.0f} MB with {GATES} threads")


def plan_of(number: int) -> Plan:
    policy = load_policy("default")
    facts = {"service": "s", "canary": f"c{number}", "stable": f"s{number}"}
    # However long a busy machine takes to get here: no gate is to end.
    return make_plan(replace(policy, step=float(STEP), min_requests=10**9), facts)


def measured(process: subprocess.Popen[bytes], work: Callable[[], None]) -> tuple[float, float]:
    """Give CPU seconds of this process and of Prometheus."""
    prometheus_process = psutil.Process(process.pid)
    before, own = prometheus_process.cpu_times(), time.process_time()
    work()
    after = prometheus_process.cpu_times()
    other = after.user + after.system - before.user - before.system
    return time.process_time() - own, other


def asked(plans: list[Plan], source: PrometheusSource, since: float) -> None:
    """Ask all once, spread over a step."""
    began = time.monotonic()
    for number, plan in enumerate(plans):
        time.sleep(max(0.0, began + STEP * number / GATES - time.monotonic()))
        measure(plan, source, since, time.time())
    time.sleep(max(0.0, began + STEP - time.monotonic()))


def run_all(plans: list[Plan], source: PrometheusSource, since: float) -> None:
    """Run every gate for some turns, each begun at another moment of the step."""
    turns = [0] * len(plans)

    def run(number: int) -> None:
        def sleep(seconds: float) -> None:
            turns[number] += 1
            if turns[number] >= TURNS:
                raise Ended
            time.sleep(seconds)

        def observe(tick: Tick) -> None:
            assert tick.evidence is not None, tick.decision.reason
            assert tick.decision.requests > 0

        time.sleep(STEP * number / GATES)
        try:
            run_gate(
                plans[number],
                source,
                datetime.fromtimestamp(since, UTC),
                clock=time.time,
                sleep=sleep,
                observe=observe,
            )
        except Ended:
            return

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(plans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns == [TURNS] * len(plans), "a gate has ended early"


@contextmanager
def prometheus(folder: Path, since: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    program = ensure(default_cache())
    source, data, config = folder / "in.txt", folder / "data", folder / "prometheus.yml"
    source.write_text(export(since))
    config.write_text("{}\n")
    create = [
        str(program.with_name("promtool")),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(source),
        str(data),
    ]
    subprocess.run(create, check=True, capture_output=True)
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(program), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    command += ["--log.level=error", "--web.listen-address", url.removeprefix("http://")]
    process = subprocess.Popen(command)
    try:
        wait_ready(f"{url}/-/ready")
        yield process, url
    finally:
        process.terminate()
        process.wait()


def wait_ready(url: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)


def export(since: int) -> str:
    """Write 15 s scrapes of a steady canary and its stable, until two minutes from now."""
    ages = range(0, AGE + 120, STEP)
    families: dict[str, list[str]] = {}
    for number in range(GATES):
        for name, rate in ((f"c{number}", 10.0), (f"s{number}", 90.0)):
            for family, labels, factor in shapes(name):
                rows = families.setdefault(family, [f"# TYPE {family} unknown"])
                rows += [f"{family}{{{labels}}} {factor * rate * a} {since + a}" for a in ages]
    uptime = families.setdefault("envoy_server_uptime", ["# TYPE envoy_server_uptime gauge"])
    uptime += [f"envoy_server_uptime {100 + age} {since + age}" for age in ages]
    return "\n".join(row for rows in families.values() for row in rows) + "\n# EOF\n"


def shapes(name: str) -> Iterator[tuple[str, str, float]]:
    cluster = f'envoy_cluster_name="{name}"'
    yield "envoy_cluster_upstream_rq_completed", cluster, 1.0
    yield "envoy_cluster_upstream_rq_xx", f'{cluster},envoy_response_code_class="5"', 0.001
    for bound, share in (("25", 0.5), ("50", 0.9), ("100", 1.0), ("+Inf", 1.0)):
        yield "envoy_cluster_upstream_rq_time_bucket", f'{cluster},le="{bound}"', share


if __name__ == "__main__":
    os.environ.pop("COALMINE_PROMETHEUS_HTTP_CONFIG", None)
    main()
