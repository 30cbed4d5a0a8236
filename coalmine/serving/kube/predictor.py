"""Which container of an InferenceService's predictor serves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["serving_container"]

CONTAINERS = frozenset({"kserve-container", "kfserving-container"})
"""The container that serves, by the name that KServe gives it, and KFServing before."""
FRAMEWORKS = frozenset(
    {
        "model",
        "sklearn",
        "xgboost",
        "tensorflow",
        "pytorch",
        "triton",
        "onnx",
        "huggingface",
        "pmml",
        "lightgbm",
        "paddle",
    }
)
"""Predictors whose server KServe brings along: their ``containers`` stand beside it."""


def serving_container(predictor: Mapping[str, Any]) -> int:
    """Tell which container of a predictor or a revision serves; -1 where none does or is named.

    Of several the one that serves is told by its name: to guess could replace a sidecar's image.
    """
    containers = predictor.get("containers") or []
    if not FRAMEWORKS.isdisjoint(predictor):
        return -1
    named = [n for n, container in enumerate(containers) if container.get("name") in CONTAINERS]
    return named[0] if named else 0 if len(containers) == 1 else -1
