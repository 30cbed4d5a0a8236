"""Graphs of Python one-liners and an engine that runs them; engines beside an API server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.task import Task
from coalmine.compiler.value import Value
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.local import LocalEngine
from coalmine.engines.protocol import RunRequest, RunStatus
from tests.engines.kubefix import KINDS, make_engine
from tests.kubeapi.server import KubeApi, serve

NUMBERS = count(1)
PRELUDE = "import json,os,pathlib,sys,time,signal;"


def make_task(
    name: str,
    code: str,
    *,
    inputs: dict[str, Value] | None = None,
    outputs: Sequence[str] = (),
    unless: tuple[Value, Value] | None = None,
    when: tuple[Value, Value] | None = None,
    **fields: Any,
) -> Task:
    """A task that runs Python code; argv has the inputs' values, then the outputs' paths."""
    conditions = [Comparison(when[0], Operator.EQUAL, when[1])] if when else []
    conditions += [Comparison(unless[0], Operator.NOT_EQUAL, unless[1])] if unless else []
    given = inputs or {}
    return Task(
        name=name,
        component=name,
        image="host",
        command=((sys.executable,), ("-c",), (PRELUDE + code,)),
        args=tuple((InputRef(key),) for key in given)
        + tuple((OutputPath(key),) for key in outputs),
        inputs=tuple(Parameter(key) for key in given),
        arguments=tuple(given.items()),
        outputs=tuple(Parameter(key) for key in outputs),
        when=tuple(conditions),
        **fields,
    )


@pytest.fixture(name="task")
def task_fixture() -> Callable[..., Task]:
    return make_task


def host(image: str, argv: Sequence[str]) -> list[str]:
    if image != "host":
        raise InputError(f"{image} is not run here", fix="run it elsewhere")
    return list(argv)


class Bench:
    """An engine and the graph it reads, whatever the file says.

    Attributes:
        run_id: The run that is meant where none is named.
    """

    def __init__(self, state: Path) -> None:
        self.run_id = "r1"
        self.state = state
        self.graph = Graph(name="g", parameters=(), tasks=())
        self.pipeline = state.parent / "pipeline.yaml"
        self.pipeline.write_text("anything")
        self.engine = self.make()

    def make(self) -> LocalEngine:
        return LocalEngine(self.state, lambda _: self.graph, host_command=host, grace=0.5)

    def reopen(self) -> None:
        self.engine.close()
        self.engine = self.make()
        self.engine.open()

    def use(
        self,
        *tasks: Task,
        exit_task: Task | None = None,
        parameters: Sequence[str] = (),
        loops: Sequence[Loop] = (),
    ) -> None:
        self.graph = Graph(
            name="g",
            parameters=tuple(Parameter(name) for name in parameters),
            tasks=tasks,
            exit_task=exit_task,
            loops=tuple(loops),
        )

    def submit(self, run_id: str = "", **parameters: str) -> None:
        self.engine.submit(RunRequest(run_id or self.run_id, self.pipeline, parameters))

    def wait(self, run_id: str = "", until: Callable[[RunStatus], bool] | None = None) -> RunStatus:
        run_id = run_id or self.run_id
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status = self.engine.status(run_id)
            if status and (until(status) if until else status.state.ended):
                return status
            time.sleep(0.02)
        raise AssertionError(f"still waiting: {self.engine.status(run_id)}")

    def run(self, *tasks: Task, exit_task: Task | None = None) -> RunStatus:
        self.use(*tasks, exit_task=exit_task)
        self.submit()
        return self.wait()


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Bench]:
    """For a test that needs a state folder of its own."""
    made = Bench(tmp_path / "state")
    made.engine.open()
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench") / "state")
    made.engine.open()
    yield made
    made.engine.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """A run of its own on an engine that the module's tests share: to open one takes a second."""
    shared_bench.run_id = f"r{next(NUMBERS)}"
    return shared_bench


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        running.app.watches.bookmark_every = 0.05
        yield running


@pytest.fixture(params=list(KINDS))
def engine(request: pytest.FixtureRequest, api: KubeApi, tmp_path: Path) -> Iterator[KubeEngine]:
    made = make_engine(api, tmp_path, request.param)
    made.open()
    yield made
    made.close()
