"""What the controllers of Deployments and the kubelets do, at once."""

from __future__ import annotations

from tests.kubeapi.kinds import kind_of
from tests.kubeapi.store import Object, Store

__all__ = ["DEPLOYMENT", "NAMESPACE", "image_of", "roll"]

DEPLOYMENT = kind_of("apps/v1", "Deployment")
POD = kind_of("v1", "Pod")
NAMESPACE = "ml"


def roll(store: Store, *, broken: set[str], crash: bool) -> None:
    """Let every Deployment have one pod, or none, and say so.

    Args:
        store: The API server's objects.
        broken: Images that never become ready.
        crash: Whether they start and end again, rather than are not there.
    """
    for deployment in store.list(DEPLOYMENT, NAMESPACE)[0]:
        up = image_of(deployment) not in broken and deployment["spec"]["replicas"] > 0
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "availableReplicas": int(up),
        }
        if deployment.get("status") != status:
            store.set_status(deployment, status)
        _pod(store, deployment, up=up, crash=crash)


def image_of(deployment: Object) -> str:
    """Tell the first container's image."""
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _pod(store: Store, deployment: Object, *, up: bool, crash: bool) -> None:
    name = deployment["metadata"]["name"] + "-pod"
    is_there = any(one["metadata"]["name"] == name for one in store.list(POD, NAMESPACE)[0])
    if not deployment["spec"]["replicas"]:
        if is_there:
            store.delete(POD, NAMESPACE, name)
        return
    if not is_there:
        labels = deployment["spec"]["selector"]["matchLabels"]
        head: Object = {"apiVersion": "v1", "kind": "Pod"}
        metadata = {"name": name, "labels": labels}
        store.create(head | {"metadata": metadata, "spec": {}}, NAMESPACE)
    state: Object = {"running": {}}
    if not up:
        pulled = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        state = {"terminated": {"exitCode": 3, "reason": "Error"}} if crash else pulled
    ready = {"type": "Ready", "status": "True" if up else "False"}
    containers = [{"name": "bento", "state": state}]
    pod = store.get(POD, NAMESPACE, name)
    if pod.get("status") != {"conditions": [ready], "containerStatuses": containers}:
        store.set_status(pod, {"conditions": [ready], "containerStatuses": containers})
