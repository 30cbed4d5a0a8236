"""The writes of a release, as JSON Patches that fail where the object has moved on. Pure.

Nothing but the image and the percent is written: ``containers`` is one field to a server-side apply
and to a merge patch, and both would wipe what others have set in it. A JSON Patch names the one
place, and its ``test`` operations hold what was decided against what is there.
"""

from __future__ import annotations

from typing import Any

from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kube.moves import unmoved

__all__ = ["patch"]

PERCENT = "/spec/predictor/canaryTrafficPercent"
_KEEP = object()


def patch(
    seen: Seen,
    *,
    image: str = "",
    percent: int | object | None = _KEEP,
) -> list[dict[str, Any]]:
    """Change the image, the percent, or both in one write.

    Args:
        seen: What was decided from.
        image: The new image; empty leaves it.
        percent: The new percent; None takes it away; not given leaves it.

    Returns:
        A JSON Patch.
    """
    where = f"/spec/predictor/containers/{seen.index}/image"
    operations: list[dict[str, Any]] = [
        unmoved(seen.metadata),
        {"op": "test", "path": where, "value": seen.image},
    ]
    if image:
        operations.append({"op": "replace", "path": where, "value": image})
    if percent is None and seen.percent is not None:
        operations.append({"op": "remove", "path": PERCENT})
    elif isinstance(percent, int):
        operations.append({"op": "add", "path": PERCENT, "value": percent})
    return operations
