"""What serves one revision: a Deployment with a Service, or an InferenceService. Pure.

A canary is a copy of the stable workload with another name, image and labels, so that resources,
environment, service account and scheduling stay as its owner set them. The labels by which the
stable version's Service finds its pods are left out: else it would send requests to the canary too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.serving.kube.client import Object, Resource
from coalmine.serving.kube.predictor import serving_container
from coalmine.serving.protocol import ReleaseRecord

__all__ = [
    "DEPLOYMENT",
    "INFERENCE_SERVICE",
    "OF_SERVICE",
    "RELEASE",
    "REVISION",
    "SERVICE",
    "Workload",
    "canary_of",
    "container",
    "image_of",
    "is_ours",
    "is_up",
    "port_of",
    "service_for",
    "trouble_of",
    "workload_of",
]

DEPLOYMENT = Resource("apps/v1", "deployments", "Deployment")
INFERENCE_SERVICE = Resource("serving.kserve.io/v1beta1", "inferenceservices", "InferenceService")
SERVICE = Resource("v1", "services", "Service")
REVISION = "coalmine.dev/revision"
RELEASE = "coalmine.dev/release"
OF_SERVICE = "coalmine.dev/service"
OURS = {"app.kubernetes.io/managed-by": "coalmine"}
PREDICTOR = "-predictor"
PORT = 3000
"""Where a bento listens, unless its container names another port."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of workload.

    Attributes:
        resource: What it is.
        suffix: What its Service's name has more than its own.
        selector: The label that its pods and Deployments have its name under.
    """

    resource: Resource
    suffix: str
    selector: str

    def service(self, revision: str) -> str:
        """Name a revision's Service."""
        return revision + self.suffix

    def revision(self, service: str) -> str:
        """Name the revision of a Service."""
        return service.removesuffix(self.suffix) if self.suffix else service

    def pods(self, revision: str) -> str:
        """Select a revision's pods."""
        return f"{self.selector}={revision}"


PLAIN = Workload(DEPLOYMENT, "", REVISION)
STANDARD = Workload(INFERENCE_SERVICE, PREDICTOR, "serving.kserve.io/inferenceservice")


def workload_of(kind: str) -> Workload:
    """Find the kind of workload by what stands in its object.

    Raises:
        InputError: It is neither.
    """
    for known in (PLAIN, STANDARD):
        if known.resource.kind == kind:
            return known
    raise InputError(
        f"a {kind} cannot serve a canary",
        field="template",
        fix="give a Deployment or an InferenceService",
    )


def canary_of(
    source: Object, *, revision: str, record: ReleaseRecord, without: Iterable[str] = ()
) -> Object:
    """Make a canary's workload.

    Args:
        source: The stable version's, or a template.
        revision: Its name.
        record: The release.
        without: Labels that it must not share with the stable version.
    """
    left_out = frozenset({*without, *_selected(source)})
    metadata = source.get("metadata") or {}
    labels = _kept(metadata.get("labels"), left_out) | OURS
    labels |= {REVISION: revision, RELEASE: record.release_id, OF_SERVICE: record.service}
    notes = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith(("kubectl.kubernetes.io/", "deployment.kubernetes.io/"))
    }
    made: Object = {
        "apiVersion": source["apiVersion"],
        "kind": source["kind"],
        "metadata": {"name": revision, "labels": labels},
        "spec": copy.deepcopy(source["spec"]),
    }
    if notes:
        made["metadata"]["annotations"] = notes
    container(made)["image"] = record.canary_image
    if source["kind"] == DEPLOYMENT.kind:
        _relabel(made["spec"], left_out, revision)
    return made


def service_for(deployment: Object, revision: str) -> Object:
    """Make the Service of a Deployment."""
    port = port_of(deployment)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": revision, "labels": deployment["metadata"]["labels"]},
        "spec": {
            "selector": {REVISION: revision},
            "ports": [{"name": "http", "port": port, "targetPort": port}],
        },
    }


def port_of(workload: Object) -> int:
    """Tell the port that a workload's Service has: its container's, or KServe's own 80."""
    if workload["kind"] == INFERENCE_SERVICE.kind:
        return 80
    ports = container(workload).get("ports") or [{}]
    return int(ports[0].get("containerPort", PORT))


def image_of(workload: Object) -> str:
    """Tell the image that serves."""
    return str(container(workload).get("image", ""))


def is_ours(item: Object, release: str = "") -> bool:
    """Tell whether a release has made an object, or a certain release has."""
    labels = (item.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(RELEASE) == release if release else labels.get(RELEASE))


def is_up(workload: Object) -> bool:
    """Tell whether a workload says that all of it is up, as it stands."""
    status = workload.get("status") or {}
    if workload["kind"] == INFERENCE_SERVICE.kind:
        return _condition(workload, "Ready").get("status") == "True"
    wanted = int(workload["spec"].get("replicas", 1))
    current = int(status.get("observedGeneration", 0)) >= workload["metadata"]["generation"]
    return current and int(status.get("availableReplicas", 0)) >= max(wanted, 1)


def trouble_of(workload: Object) -> str:
    """Tell what a Deployment has given up on; empty if it has not."""
    condition = _condition(workload, "Progressing")
    return str(condition.get("message", "")) if condition.get("status") == "False" else ""


def container(workload: Object) -> dict[str, Any]:
    """Find what has the image that serves: a Deployment's first container, or KServe's by its name.

    A predictor of KServe's ``model`` has its image there, and its containers stand beside it.

    Raises:
        InputError: There is none.
    """
    spec = workload.get("spec") or {}
    standard = workload.get("kind") == INFERENCE_SERVICE.kind
    pod = (spec.get("predictor") if standard else (spec.get("template") or {}).get("spec")) or {}
    if standard and isinstance(model := pod.get("model"), dict):
        return model
    containers: list[dict[str, Any]] = pod.get("containers") or []
    index = serving_container(pod) if standard else min(len(containers), 1) - 1
    if index < 0:
        raise InputError(
            f"the {workload.get('kind')} has no container that serves, so it takes no image",
            field="template",
            fix="give it one, named kserve-container in an InferenceService; its image is set by "
            "the release",
        )
    return containers[index]


def _condition(workload: Object, kind: str) -> dict[str, Any]:
    conditions = (workload.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _selected(source: Object) -> list[str]:
    selector = ((source.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return list(selector)


def _kept(labels: dict[str, str] | None, left_out: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if key not in left_out}


def _relabel(spec: dict[str, Any], left_out: frozenset[str], revision: str) -> None:
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    metadata["labels"] = _kept(metadata.get("labels"), left_out) | {REVISION: revision}
    spec["selector"] = {"matchLabels": {REVISION: revision}}
