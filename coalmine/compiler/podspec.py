"""What kfp-kubernetes says of a task's pod, and how Kubernetes writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

__all__ = [
    "EnvSource",
    "Pod",
    "Toleration",
    "Volume",
    "env_of",
    "leaves",
    "mounts_of",
    "toleration",
    "volumes_of",
]

KINDS = {
    "secret": "secretName",
    "configMap": "name",
    "persistentVolumeClaim": "claimName",
}
"""How each kind of volume calls the object behind it."""


@dataclass(frozen=True, slots=True)
class EnvSource:
    """An environment variable whose value Kubernetes knows.

    Attributes:
        name: The variable.
        kind: ``secretKeyRef``, ``configMapKeyRef`` or ``fieldRef``.
        source: The secret or config map; the path of the field.
        key: The key in it; empty for a field.
        optional: Whether the source may be missing.
    """

    name: str
    kind: str
    source: str
    key: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume and where it is mounted.

    Attributes:
        kind: ``secret``, ``configMap``, ``persistentVolumeClaim`` or ``emptyDir``.
        source: The object behind it; of an empty folder its own name.
        path: Where it is mounted.
        sub_path: The folder of it that is; empty for the whole.
        optional: Whether the object may be missing.
        medium: Of an empty folder: ``Memory``, or empty for the node's disk.
        size: Of an empty folder: the most it may hold; empty where nothing is said.
    """

    kind: str
    source: str
    path: str
    sub_path: str = ""
    optional: bool = False
    medium: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that the pod bears; the fields are those of Kubernetes."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """All that is said of a task's pod; what is empty was not said."""

    env: tuple[EnvSource, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    pull_policy: str = ""
    pull_secrets: tuple[str, ...] = ()
    security: tuple[tuple[str, int | bool], ...] = ()

    @property
    def needs_cluster(self) -> str:
        """Say what of it cannot be had without Kubernetes; empty if nothing."""
        if self.env:
            return f"the environment variable {self.env[0].name} from {self.env[0].source!r}"
        return f"the volume at {self.volumes[0].path}" if self.volumes else ""


def leaves(part: object) -> Iterator[str]:
    """Name every text in what is said of a pod."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from leaves(item)
    elif is_dataclass(part):
        for of in fields(part):
            yield from leaves(getattr(part, of.name))


def env_of(pod: Pod) -> list[dict[str, Any]]:
    """Write the environment variables."""
    return [{"name": item.name, "valueFrom": {item.kind: _env_source(item)}} for item in pod.env]


def _env_source(item: EnvSource) -> dict[str, Any]:
    if item.kind == "fieldRef":
        return {"fieldPath": item.source}
    return _said({"name": item.source, "key": item.key, "optional": item.optional})


def volumes_of(pod: Pod) -> list[dict[str, Any]]:
    """Write the volumes; several mounts of one object are one volume."""
    found = {_volume_name(at, pod): _volume(item) for at, item in enumerate(pod.volumes)}
    return [{"name": name, **volume} for name, volume in found.items()]


def mounts_of(pod: Pod) -> list[dict[str, Any]]:
    """Write where the volumes are mounted."""
    return [
        _said({"name": _volume_name(at, pod), "mountPath": item.path, "subPath": item.sub_path})
        for at, item in enumerate(pod.volumes)
    ]


def toleration(item: Toleration) -> dict[str, Any]:
    """Write a toleration."""
    written = _said(
        {"key": item.key, "operator": item.operator, "value": item.value, "effect": item.effect}
    )
    return written if item.seconds is None else {**written, "tolerationSeconds": item.seconds}


def _volume_name(at: int, pod: Pod) -> str:
    """Name a volume; an empty folder has a name of its own, which tells it from other such."""
    if pod.volumes[at].kind == "emptyDir":
        return pod.volumes[at].source
    first = next(n for n, one in enumerate(pod.volumes) if _volume(one) == _volume(pod.volumes[at]))
    name = f"volume-{first + 1}"
    while any(one.kind == "emptyDir" and one.source == name for one in pod.volumes):
        name += "-mounted"
    return name


def _volume(item: Volume) -> dict[str, Any]:
    if item.kind == "emptyDir":
        return {"emptyDir": _said({"medium": item.medium, "sizeLimit": item.size})}
    return {item.kind: _said({KINDS[item.kind]: item.source, "optional": item.optional})}


def _said(written: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in written.items() if item not in ("", False)}
