from __future__ import annotations

from typing import Any

import pytest

from coalmine.serving.kube.findings import of_deployments, of_pods


def _pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "uid": "u"}, "status": status}


def _state(**fields: Any) -> dict[str, Any]:
    return _pod(containerStatuses=[{"name": "kserve-container", **fields}])


CRASHED = {"exitCode": 3, "message": "model file is corrupt\n"}
UNSCHEDULABLE = _pod(
    conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
    ]
)


@pytest.mark.parametrize(
    ("pod", "kind", "hopeless"),
    [
        (_state(state={"waiting": {"reason": "ImagePullBackOff", "message": "no"}}), "image", True),
        (_state(state={"waiting": {"reason": "CreateContainerConfigError"}}), "config", True),
        (_state(state={"terminated": CRASHED}), "crash", True),
        (
            _state(
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": CRASHED},
            ),
            "crash",
            True,
        ),
        (
            _state(
                state={"running": {}}, restartCount=1, ready=True, lastState={"terminated": CRASHED}
            ),
            "crash",
            False,
        ),
        (
            _state(state={"running": {}}, restartCount=2, lastState={"terminated": CRASHED}),
            "crash",
            True,
        ),
        (UNSCHEDULABLE, "unschedulable", True),
    ],
)
def test_a_pods_trouble_is_named(pod: dict[str, Any], kind: str, hopeless: bool) -> None:
    (finding,) = of_pods([pod], [])
    assert (finding.kind, finding.hopeless) == (kind, hopeless)


@pytest.mark.parametrize(
    "pod",
    [
        _state(state={"waiting": {"reason": "ContainerCreating"}}),
        _state(state={"running": {}}, ready=True),
        _state(state={"terminated": {"exitCode": 0}}),
    ],
)
def test_what_comes_up_has_no_trouble(pod: dict[str, Any]) -> None:
    assert of_pods([pod], []) == []


def _event(reason: str, message: str = "", uid: str = "u") -> dict[str, Any]:
    path = "spec.containers{kserve-container}"
    involved = {"uid": uid, "fieldPath": path}
    return {"reason": reason, "message": message, "involvedObject": involved}


@pytest.mark.parametrize("reason", ["TriggeredScaleUp", "Nominated"])
def test_a_node_on_its_way_is_worth_waiting_for(reason: str) -> None:
    (finding,) = of_pods([UNSCHEDULABLE], [_event(reason)])
    assert not finding.hopeless
    assert "on its way" in finding.message


def test_a_failing_probe_is_told_and_waited_for() -> None:
    events = [_event("Unhealthy", "Readiness probe failed: 503"), _event("Unhealthy", "x", "v")]
    (finding,) = of_pods([_state(state={"running": {}})], events)
    assert (finding.kind, finding.hopeless) == ("probe", False)
    assert finding.message == "Readiness probe failed: 503"
    assert finding.container == "kserve-container"


def test_a_quota_is_told_by_the_deployment() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: q"}
    (finding,) = of_deployments([{"status": {"conditions": [condition]}}])
    assert (finding.kind, finding.message) == ("quota", "exceeded quota: q")
