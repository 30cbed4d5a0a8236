"""Inputs that several steps take, so that they read and are set the same everywhere."""

from __future__ import annotations

from typing import Any

from coalmine.steps.contract import optional

__all__ = ["namespace_setting", "serving_setting"]


def serving_setting() -> Any:  # noqa: ANN401 - as dataclasses.field is typed
    """Declare what splits the traffic."""
    return optional(
        "The serving backend: local, gateway, flagger, or kserve and its kin, see docs/kserve.md.",
        setting=True,
    )


def namespace_setting() -> Any:  # noqa: ANN401 - as above
    """Declare where the service stands on a cluster."""
    return optional(
        "Kubernetes namespace of the service; that of the cluster's configuration if empty.",
        setting=True,
    )
