"""Why a canary does not come up, read from its pods, Deployments and events. Pure.

Sources: container states and reasons of the kubelet (kubernetes.io, "Debug Pods", and the kubelet's
``images`` and ``kuberuntime`` packages), the scheduler's ``PodScheduled`` condition, a Deployment's
``ReplicaFailure`` condition, and the events of the cluster autoscaler and of Karpenter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coalmine.serving.kube.client import Object

__all__ = ["Finding", "of_deployments", "of_pods"]

PULL = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
SCALING = frozenset({"TriggeredScaleUp", "Nominated"})
"""A node is on its way: in the words of the cluster autoscaler, and of Karpenter."""
RESTARTS_OF_A_LOOP = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason.

    Attributes:
        kind: ``image``, ``crash``, ``config``, ``unschedulable``, ``probe``, ``quota`` or
            ``revision``.
        message: What the cluster says.
        hopeless: Whether waiting longer will not help.
        pod: The pod; empty where there is none.
        container: The container; empty where there is none.
        previous: Whether the log to read is that of the container's life before.
    """

    kind: str
    message: str
    hopeless: bool
    pod: str = ""
    container: str = ""
    previous: bool = False


def of_pods(pods: Iterable[Object], events: Sequence[Object]) -> list[Finding]:
    """Find what keeps pods from being ready; the most telling first."""
    found: list[Finding] = []
    for pod in pods:
        about = [event for event in events if _concerns(event, pod)]
        found += [*_of_containers(pod), *_of_schedule(pod, about), *_of_probes(pod, about)]
    return sorted(found, key=lambda finding: not finding.hopeless)


def of_deployments(deployments: Iterable[Object]) -> list[Finding]:
    """Find why pods are not even made: a quota, mostly."""
    return [
        Finding("quota", str(condition.get("message", "")), hopeless=True)
        for deployment in deployments
        for condition in (deployment.get("status") or {}).get("conditions", [])
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
    ]


def _of_containers(pod: Object) -> Iterator[Finding]:
    status = pod.get("status") or {}
    for state in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if finding := _of_container(pod["metadata"]["name"], state):
            yield finding


def _of_container(pod: str, status: dict[str, Any]) -> Finding | None:
    now, container = status.get("state") or {}, str(status.get("name", ""))
    waiting = now.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in PULL:
        return Finding("image", f"{reason}: {message}", hopeless=True, pod=pod)
    if reason in CONFIG:
        return Finding("config", f"{reason}: {message}", hopeless=True, pod=pod)
    ended = now.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    if not ended.get("exitCode") or (status.get("ready") and "running" not in now):
        return None
    looping = "running" not in now or int(status.get("restartCount", 0)) >= RESTARTS_OF_A_LOOP
    said = str(ended.get("message") or ended.get("reason") or "").strip()
    told = f"container {container} ended with exit code {ended['exitCode']}: {said}"
    previous = "terminated" not in now
    return Finding("crash", told, hopeless=looping, pod=pod, container=container, previous=previous)


def _of_schedule(pod: Object, events: Iterable[Object]) -> Iterator[Finding]:
    scaling = any(event.get("reason") in SCALING for event in events)
    for condition in (pod.get("status") or {}).get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            told = str(condition.get("message", ""))
            told += "; a node is on its way" if scaling else ""
            name = pod["metadata"]["name"]
            yield Finding("unschedulable", told, hopeless=not scaling, pod=name)


def _of_probes(pod: Object, events: Iterable[Object]) -> Iterator[Finding]:
    if any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions", [])
    ):
        return
    failing = [event for event in events if event.get("reason") == "Unhealthy"]
    if failing:
        # A model that still loads fails its probe too: only time can tell.
        told, name = str(failing[-1].get("message", "")), pod["metadata"]["name"]
        path = str((failing[-1].get("involvedObject") or {}).get("fieldPath", ""))
        container = path.partition("{")[2].rstrip("}") or _first_container(pod)
        yield Finding("probe", told, hopeless=False, pod=name, container=container)


def _first_container(pod: Object) -> str:
    containers = (pod.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("name", ""))


def _concerns(event: Object, pod: Object) -> bool:
    involved = event.get("involvedObject") or {}
    return bool(involved.get("uid") == pod["metadata"].get("uid") and involved.get("uid"))
