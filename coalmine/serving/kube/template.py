"""Read the file that a service is made from on its first release.

What a backend looks for in it is read without a second look, so its shape is held here: objects
where objects belong, and lists of objects where lists do. The cluster holds the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.serving.kube.client import Object
from coalmine.serving.kube.schema import validator

__all__ = ["read_template"]


def _some(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _many(item: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "array", "items": item or {"type": "object"}}


_METADATA = _some(labels=_some(), annotations=_some())
_CONTAINER = {"type": "object", "properties": {"name": {"type": "string"}, "ports": _many()}}
_POD = _some(containers=_many(_CONTAINER), initContainers=_many(_CONTAINER))
_SPEC = _some(
    predictor=_POD,
    template=_some(metadata=_METADATA, spec=_POD),
    selector=_some(matchLabels=_some()),
    analysis=_some(metrics=_many()),
    rules=_many(),
    parentRefs=_many(),
)
_SHAPE = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": _METADATA,
        "spec": _SPEC,
    },
}


def read_template(path: str) -> list[Object]:
    """Read every object of a YAML file.

    Args:
        path: A path, or a ``file://`` URL.

    Raises:
        InputError: It cannot be read, is no YAML, or does not hold objects of Kubernetes.
    """
    import yaml  # noqa: PLC0415 - only where a template is used

    try:
        text = Path(path.removeprefix("file://")).read_text(encoding="utf-8")
        items = [item for item in yaml.safe_load_all(text) if item is not None]
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"cannot be read: {error}",
            field="template",
            fix=f"give the YAML file that {path} is not",
        ) from None
    for item in items:
        if found := _faults(item):
            raise InputError(
                f"{path} holds no object of Kubernetes: {found}",
                field="template",
                fix="mend it; deploy/ has one for every serving backend",
            )
    return items


def _faults(item: object) -> str:
    found = sorted(validator(_SHAPE).iter_errors(item), key=lambda e: list(map(str, e.path)))
    told = [f"{'.'.join(map(str, e.absolute_path)) or 'it'}: {e.message[:200]}" for e in found]
    return "; ".join(told[:5])
