"""The steps of a release that Flagger judges, on an API server in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from coalmine.gate.judge import Verdict
from coalmine.gate.model import OnInconclusive
from coalmine.gate.policy import load_policy
from coalmine.serving.flagger.run import Ruled, Ruling
from coalmine.serving.kube.client import Kube, StaleError, open_kube
from coalmine.serving.kube.drive import Timing
from coalmine.steps import canary, gate, promote
from coalmine.steps.contract import Step, Surroundings
from coalmine.steps.flagger import await_ruling, plan_of
from coalmine.steps.runner import run_step
from tests.kubeapi.faults import Fault
from tests.kubeapi.server import KubeApi, serve
from tests.serving.flagger.conftest import V1, V2, deployment
from tests.serving.flagger.controller import Flagger
from tests.serving.flagger.deployments import NAMESPACE

SINCE = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


def _step(step: Step, folder: Path, **values: str) -> dict[str, str]:  # type: ignore[type-arg]
    outputs = {name: folder / name for name in ("canary", "stable", "since", "verdict", "reason")}
    known = {field: path for field, path in outputs.items() if field in _outputs_of(step)}
    environ = {"COALMINE_SERVING": "flagger", "COALMINE_NAMESPACE": NAMESPACE}
    environ["COALMINE_PROMETHEUS_URL"] = "http://127.0.0.1:9"
    code = run_step(
        step,
        values={"service": "iris", "release_id": "r1", **values},
        output_paths=known,
        environ=environ,
        surroundings=Surroundings(folder),
    )
    assert code == 0
    return {name: path.read_text() for name, path in known.items()}


def _outputs_of(step: Step) -> set[str]:  # type: ignore[type-arg]
    return set(step.outputs.__dataclass_fields__)


def test_a_release_by_flagger_through_its_steps(
    server: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flagger = Flagger(server.store)
    server.store.create(deployment(V1), NAMESPACE, manager="kubectl")

    # Flagger looks whenever a release looks at its Canary.
    def look() -> bool:
        flagger.tick()
        return False

    server.faults.add(Fault("GET", "/canaries", times=None, when=look))
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
    quick = partial(Timing, poll=0.01)
    monkeypatch.setattr("coalmine.serving.flagger.open.Timing", quick)
    monkeypatch.setattr("coalmine.steps.flagger.POLL", 0.01)
    opened: list[Kube] = []

    def open_kept(namespace: str) -> Kube:
        opened.append(open_kube(namespace))
        return opened[-1]

    # A step's process ends with its connections; this one goes on.
    monkeypatch.setattr("coalmine.serving.flagger.open.open_kube", open_kept)
    trial = _step(canary.STEP, tmp_path, image=V2, version="v2")
    assert (trial["canary"], trial["stable"]) == ("iris", "iris-primary")
    assert flagger.shares()[V2] > 0
    judged = _step(gate.STEP, tmp_path, **trial)
    assert judged["verdict"] == "promote"
    assert judged["reason"].startswith("Flagger says:")
    _step(promote.STEP, tmp_path)
    assert flagger.shares() == {V2: 100}
    for kube in opened:
        kube.close()
    kept = json.loads((tmp_path / "releases" / "r1" / "gate.json").read_text())
    assert (kept["verdict"], kept["stable"]) == ("promote", "iris-primary")


@pytest.mark.parametrize(
    ("policy", "verdict"), [("default", Verdict.INCONCLUSIVE), ("rollback", Verdict.ROLLBACK)]
)
def test_flagger_that_says_nothing_is_waited_for_no_longer_than_the_policy_says(
    policy: str, verdict: Verdict
) -> None:
    read = load_policy("")
    if policy == "rollback":
        read = replace(read, on_inconclusive=OnInconclusive.ROLLBACK)
    clock = [SINCE.timestamp()]
    asked: list[float] = []

    def ruling() -> Ruling:
        asked.append(clock[0])
        if len(asked) == 1:
            raise StaleError("the API server did not answer")
        return Ruling(Ruled.OPEN, "Flagger says: wait", done=False)

    def sleep(seconds: float) -> None:
        clock[0] += seconds * 20

    tick = await_ruling(
        plan_of(read, "iris", "ml"), SINCE, ruling=ruling, clock=lambda: clock[0], sleep=sleep
    )
    assert tick.decision.verdict is verdict
    assert "within 1800 s: Flagger says: wait" in tick.decision.reason
    assert tick.now >= (SINCE + timedelta(seconds=read.timeout)).timestamp()
