"""What Tekton and Argo have in common: a container in a Kubernetes pod."""

from __future__ import annotations

import re
from typing import Any

from coalmine.compiler.graph import Resources, Retry

__all__ = ["SIMPLE_NAME", "longest_wait", "pod_text", "resources"]

SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A parameter name that every target takes as it stands."""


def pod_text(text: str) -> str:
    """Escape a literal for a container's command line or environment.

    The kubelet reads ``$(NAME)`` as a variable and ``$$`` as one dollar sign. A dollar sign at
    the end is escaped too, because something else may follow it in the same argument.
    """
    return re.sub(r"\$(?=[$(]|\Z)", "$$", text)


def resources(wanted: Resources) -> dict[str, Any]:
    """Write resources the way Kubernetes has them; empty where nothing is said."""
    pairs = {
        "requests": {"cpu": wanted.cpu_request, "memory": wanted.memory_request},
        "limits": {"cpu": wanted.cpu_limit, "memory": wanted.memory_limit},
    }
    said = {kind: {key: item for key, item in of.items() if item} for kind, of in pairs.items()}
    return {kind: of for kind, of in said.items() if of}


def longest_wait(retry: Retry) -> float:
    """Work out the wait before the last retry, in seconds, were there no limit to it."""
    return float(retry.backoff_seconds * retry.backoff_factor ** (retry.max_retries - 1))
