"""Runs created a second on Tekton and Argo, against an API server in another process here.

The server is that of the tests: objects in memory, every rule of the API for these kinds, and no
etcd, no admission webhooks and no controllers. So the figures tell what our side can do.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import yaml
from measure import print_head

from coalmine.compiler.ir import read_graph
from coalmine.engines.open import Opened, make_engine
from coalmine.engines.protocol import RunRequest
from coalmine.engines.settings import EngineSettings
from coalmine.launcher.dispatcher import SUBMITTERS, Dispatcher
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.release import NewRelease

RUNS = 400
HERE = Path(__file__).parent
PIPELINE = HERE.parent / "compiled" / "kfp" / "release.yaml"
PLURALS = {
    "tekton": "tekton.dev/v1/namespaces/ci/pipelineruns",
    "argo": "argoproj.io/v1alpha1/namespaces/ci/workflows",
}
read_once = functools.cache(read_graph)


def main() -> None:
    logging.disable(logging.WARNING)
    print_head(f"Runs created a second, {RUNS} of them, in an API server of another process")
    floor = _measured("tekton", _bare)
    print(f"  {'bare POSTs of the same size, one by one':48} {floor:8,.0f} /s")
    for name in PLURALS:
        for words, way in (
            ("engine, one after the other", _one_by_one),
            (f"engine, {SUBMITTERS} at a time", _at_a_time),
            ("dispatcher and ledger, as a launcher does", _dispatched),
        ):
            rate = _measured(name, way)
            print(f"  {f'{name}: {words}':48} {rate:8,.0f} /s {rate / floor:8.2f} of the bare")
    rate = _measured("tekton", _dispatched, "busy")
    print(f"  {'tekton: every tenth refused, 429, come in 1 s':48} {rate:8,.0f} /s")


Way = Callable[[str, Opened, str, Path], None]


def _measured(name: str, way: Way, *words: str) -> float:
    with tempfile.TemporaryDirectory(dir=".") as text, _server(*words) as url:
        folder = Path(text).absolute()
        engine = make_engine(name, EngineSettings(kubeconfig=_kubeconfig(folder, url)), read_once)
        engine.open()
        engine.submit(_request(RUNS))  # reads and lowers the pipeline
        begun = time.perf_counter()
        way(name, engine, url, folder)
        seconds = time.perf_counter() - begun
        engine.close()
        made = len(httpx.get(f"{url}/apis/{PLURALS[name]}", timeout=60).json()["items"])
        assert made == RUNS + 1, f"{made} runs"
        return RUNS / seconds


@contextlib.contextmanager
def _server(*words: str) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(HERE / "kubeapi_server.py"), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def _kubeconfig(folder: Path, url: str) -> Path:
    context = {"cluster": "c", "user": "u", "namespace": "ci"}
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": context}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def _request(number: int) -> RunRequest:
    return RunRequest(f"r{number}", PIPELINE, _values(number))


def _values(number: int) -> dict[str, str]:
    return {"release_id": f"r{number}", "service": f"s{number}", "name": "iris", "version": "v2"}


def _bare(name: str, _engine: Opened, url: str, _folder: Path) -> None:
    path = f"{url}/apis/{PLURALS[name]}"
    with httpx.Client() as client:
        (first,) = client.get(path).json()["items"]
        spec = first["spec"]
        for number in range(RUNS):
            answer = client.post(path, json={"metadata": {"name": f"bare-{number}"}, "spec": spec})
            answer.raise_for_status()


def _one_by_one(_name: str, engine: Opened, _url: str, _folder: Path) -> None:
    for number in range(RUNS):
        engine.submit(_request(number))


def _at_a_time(_name: str, engine: Opened, _url: str, _folder: Path) -> None:
    with ThreadPoolExecutor(SUBMITTERS) as hands:
        list(hands.map(lambda number: engine.submit(_request(number)), range(RUNS)))


def _dispatched(name: str, engine: Opened, _url: str, folder: Path) -> None:
    ledger, made, done = Ledger(ledger_url(folder)), itertools.count(1), threading.Event()
    submit = engine.submit

    def counted(request: RunRequest) -> None:
        submit(request)
        if next(made) == RUNS:
            done.set()

    engine.submit = counted  # type: ignore[method-assign]
    ledger.accept([[_release(name, number)] for number in range(RUNS)])
    dispatcher = Dispatcher(ledger, {name: engine}, lambda _: PIPELINE)
    dispatcher.start()
    done.wait()
    dispatcher.stop()
    ledger.close()


def _release(engine: str, number: int) -> NewRelease:
    values = _values(number)
    identity = values["release_id"]
    return NewRelease(
        id=identity,
        service=values["service"],
        name=values["name"],
        version=values["version"],
        event_source="/bench",
        event_id=identity,
        event_type="t",
        binding="b",
        pipeline="release",
        engine=engine,
        parameters=values,
    )


if __name__ == "__main__":
    main()
