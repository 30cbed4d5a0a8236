"""Ask a canary for a real prediction before any user does."""

from __future__ import annotations

import json
import logging
from typing import Any

from coalmine.serving.kube.client import Kube, Object
from coalmine.serving.kube.diagnosis import PODS
from coalmine.serving.kube.example import Prediction, example_of

__all__ = ["answered"]

logger = logging.getLogger(__name__)
OK = 200
PORT = 3000
"""Where a bento listens, unless its container names another port."""


def answered(kube: Kube, selector: str, wanted: Prediction | None) -> str:
    """Send one prediction to a ready pod, through the API server.

    That way it is counted by no meter of the canary's, and no route need lead to it.

    Args:
        kube: The cluster.
        selector: Label selector of the canary's pods.
        wanted: What to ask; None means the bento's own example, and where it has none, only
            whether it is ready, which is logged.

    Returns:
        Empty once it answered 200; else what it said instead.

    Raises:
        CoalmineError: The pods may not be asked.
    """
    ready = [pod for pod in kube.list(PODS, selector) if _is_ready(pod)]
    if not ready:
        return "no pod is ready"
    name, port = ready[0]["metadata"]["name"], _port(ready[0])
    asked = wanted or _own_example(kube, name, port)
    if asked is None:
        logger.warning(
            "the bento has no example input, so only its readiness was asked",
            extra={"fix": "give its input an example, or set the input probe"},
        )
        code, said = kube.ask_pod(name, port, "GET", "/readyz")
    else:
        code, said = kube.ask_pod(name, port, "POST", asked.path, asked.body)
    if code == OK:
        return ""
    where = asked.path if asked else "/readyz"
    return f"pod {name} answered {code} to {where}: {said[:300]}"


def _own_example(kube: Kube, pod: str, port: int) -> Prediction | None:
    code, text = kube.ask_pod(pod, port, "GET", "/docs.json")
    try:
        page: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return example_of(page) if code == OK and isinstance(page, dict) else None


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions", [])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _port(pod: Object) -> int:
    for container in (pod.get("spec") or {}).get("containers", []):
        if container.get("name") != "queue-proxy":
            for port in container.get("ports", []):
                return int(port["containerPort"])
    return PORT
