"""Why a canary does not come up is told soon, as Kubernetes writes it, with its last log lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError
from coalmine._base.log import log_json_lines
from coalmine.engines.local.lastwords import last_words
from coalmine.gate.report.metrics import ReportMetrics
from coalmine.gate.report.render import render_report
from coalmine.serving.gateway.decide import Way
from coalmine.serving.gateway.moves import GatewayMoves
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.drive import Timing
from coalmine.steps.contract import Surroundings, load_step
from coalmine.steps.runner import run_step
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.store import Object
from tests.serving.gateway.world import DEPLOYMENT, NAMESPACE, POD, V2, World, canary

EVENT = kind_of("v1", "Event")
POD_NAME = "iris-r2-pod"
FULL = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available"
OVER = 'pods "iris-r2-6b7f" is forbidden: exceeded quota: compute, requested: limits.memory=1Gi'
CRASHED = {"exitCode": 1, "reason": "Error", "message": "", "startedAt": "2026-01-31T12:00:01Z"}


def pending(pod: Object) -> Object:
    """No node has room: the scheduler says so on the pod, and the kubelet nothing."""
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL}
    return {"phase": "Pending", "conditions": [said], "qosClass": "Guaranteed"}


def container(**state: Any) -> Object:
    return {"name": "bento", "ready": False, "started": False, "restartCount": 0, **state}


def unready(*states: Object) -> Object:
    said = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
    return {"phase": "Running", "conditions": [said], "containerStatuses": list(states)}


def looping(pod: Object) -> Object:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    state = container(state={"waiting": waiting}, lastState={"terminated": CRASHED})
    return unready({**state, "restartCount": 2})


def unpulled(pod: Object) -> Object:
    message = f'rpc error: code = NotFound desc = failed to pull "{V2}": not found'
    return unready(container(state={"waiting": {"reason": "ErrImagePull", "message": message}}))


def failing(pod: Object) -> Object:
    """It runs, and its readiness probe does not pass: the kubelet tells by events alone."""
    return unready(container(started=True, state={"running": {}}))


class Cluster:
    """A service whose canary gets the trouble of a test; time passes when the backend waits."""

    def __init__(self, world: World) -> None:
        self.world, self.now = world, 0.0
        self.trouble: Callable[[Object], Object] | None = None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.world.step()
        for pod in self.world.all(POD):
            if pod["metadata"]["name"] == POD_NAME and self.trouble:
                self.world.api.store.set_status(pod, self.trouble(pod))

    def event(self, **said: Any) -> None:
        """Let the kubelet or a controller write an event about the canary's pod."""
        pod = self.world.api.store.get(POD, NAMESPACE, POD_NAME)
        about = {"kind": "Pod", "name": POD_NAME, "uid": pod["metadata"]["uid"]}
        head = {"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "iris-r2."}}
        about |= {"fieldPath": "spec.containers{bento}"}
        self.world.api.store.create(
            {**head, "type": "Warning", "involvedObject": about, **said}, NAMESPACE
        )

    def backend(self, timeout: float = 420) -> KubeServing[Any]:
        timing = Timing(timeout=timeout, clock=lambda: self.now, sleep=self.sleep)
        moves = GatewayMoves(Way(NAMESPACE), now=self.world.now)
        return KubeServing(self.world.kube, moves, timing=timing, now=self.world.now)


@pytest.fixture
def cluster(adopted: World) -> Cluster:
    adopted.broken.add(V2)
    logs = "loading the model\nValueError: model file is corrupt\n"
    adopted.api.app.logs[NAMESPACE, POD_NAME, "bento"] = logs
    return Cluster(adopted)


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (pending, f"unschedulable (pod {POD_NAME}): {FULL}"),
        (looping, f"crash (pod {POD_NAME}): container bento ended with exit code 1"),
        (looping, "loading the model\nValueError: model file is corrupt"),
        (unpulled, f"image (pod {POD_NAME}): ErrImagePull: rpc error: code = NotFound"),
    ],
)
def test_a_pods_own_reason_is_told(
    cluster: Cluster, trouble: Callable[[Object], Object], told: str
) -> None:
    cluster.trouble = trouble
    with pytest.raises(CoalmineError) as caught:
        canary(cluster.backend())
    assert told in caught.value.message
    assert caught.value.exit_code == 2, "trying again cannot help"
    assert cluster.now <= 15


def test_a_quota_is_told_where_there_is_not_even_a_pod(cluster: Cluster) -> None:
    world = cluster.world

    def refuse(seconds: float) -> None:
        cluster.now += seconds
        world.step()
        for item in world.all(DEPLOYMENT):
            if item["metadata"]["name"] == "iris-r2":
                world.api.store.set_status(item, REFUSED)
        for pod in world.all(POD):
            if pod["metadata"]["name"] == POD_NAME:
                world.api.store.delete(POD, NAMESPACE, POD_NAME)

    cluster.sleep = refuse  # type: ignore[method-assign]
    with pytest.raises(CoalmineError, match=r"quota: pods .* exceeded quota: compute"):
        canary(cluster.backend())
    assert cluster.now <= 15


REFUSED: Object = {
    "observedGeneration": 1,
    "unavailableReplicas": 1,
    "conditions": [
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated"},
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": OVER},
    ],
}


def test_a_failing_probe_is_told_at_once_and_given_its_time(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    said = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    seen: list[float] = []

    def probe(pod: Object) -> Object:
        if not cluster.world.all(EVENT):
            cluster.event(reason="Unhealthy", message=said, count=1)
        if not seen and any("has trouble" in one.message for one in caplog.records):
            seen.append(cluster.now)
        return failing(pod)

    cluster.trouble = probe
    with pytest.raises(CoalmineError, match="gave up after 40 s") as caught:
        canary(cluster.backend(timeout=40))
    assert f"probe (pod {POD_NAME}): {said}\nloading the model" in caught.value.message
    assert seen[0] <= 15
    assert cluster.now >= 40


def test_the_reason_reaches_the_ledger_and_the_report(cluster: Cluster, tmp_path: Path) -> None:
    """From the step's last log line, as the local engine reads it, to the page of the release."""
    cluster.trouble = looping
    step = replace(load_step("canary"), run=lambda _inputs, _around: canary(cluster.backend()))
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    log_json_lines(stream=stream)
    try:
        code = run_step(
            step,
            values={"release_id": "r2", "service": "iris", "image": V2, "version": "v2"},
            output_paths={},
            environ={},
            surroundings=Surroundings(tmp_path),
        )
    finally:
        logging.basicConfig(handlers=handlers, force=True)
    assert code == 2
    (tmp_path / "canary.log").write_text(stream.getvalue())
    message = last_words(tmp_path / "canary.log")
    assert "\nValueError: model file is corrupt" in message
    release = {"id": "r2", "state": "failed", "steps": [failed(message)]}
    page = render_report(release, None, ReportMetrics(span=(0, 1), missing="none"))
    assert "loading the model\nValueError: model file is corrupt" in page
    assert json.loads(stream.getvalue().splitlines()[-1])["final"] is True


def failed(message: str) -> dict[str, str]:
    return {"name": "canary", "state": "failed", "message": message}
