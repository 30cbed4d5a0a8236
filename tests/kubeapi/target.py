"""What the path of a request names."""

from __future__ import annotations

from tests.kubeapi.kinds import Kind, kind_at

__all__ = ["Target", "target_of"]


class Target:
    """What a path names.

    Attributes:
        kind: The kind of object.
        namespace: Empty for all namespaces, or a cluster-scoped kind.
        name: Empty for the collection.
        subresource: ``status``, ``log`` or empty.
    """

    def __init__(self, kind: Kind, namespace: str, name: str, subresource: str) -> None:
        self.kind, self.namespace, self.name = kind, namespace, name
        self.subresource = subresource


def target_of(path: str) -> Target | None:
    """Read a path; None if no kind is there."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"]:
        group, version, rest = "", parts[1:2], parts[2:]
    elif parts[:1] == ["apis"]:
        group, version, rest = "".join(parts[1:2]), parts[2:3], parts[3:]
    else:
        return None
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = kind_at(group, "".join(version), rest[0]) if rest else None
    if kind is None:
        return None
    return Target(kind, namespace, "".join(rest[1:2]), "/".join(rest[2:]))
