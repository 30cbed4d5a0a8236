"""The objects, and the history of their changes."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.kubeapi.kinds import Kind, kind_of
from tests.kubeapi.managed import manage
from tests.kubeapi.status import already_exists, bad_request, conflict, gone, not_found

__all__ = ["Change", "Object", "Store"]

Object = dict[str, Any]
Key = tuple[Kind, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        version: The resourceVersion it made.
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        kind: The object's kind.
        namespace: Where it is; empty for cluster-scoped kinds.
        object: The object after the change; not to be written to.
        before: The object before; None for a new one.
    """

    version: int
    type: str
    kind: Kind
    namespace: str
    object: Object
    before: Object | None = None


def _copied(item: Object) -> Object:
    """Copy an object, which is JSON: several times as fast as deepcopy."""
    made: Object = json.loads(json.dumps(item))
    return made


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spec(item: Object) -> Object:
    return {k: v for k, v in item.items() if k not in {"metadata", "status"}}


class Store:
    """What etcd and the generic registry are to a real server.

    Methods take the field manager's name, as clients give it, and raise `ApiError`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[Key, Object] = {}
        self._version = 100
        self._oldest = 0
        self._suffixes = itertools.count(1)
        self._subscribers: list[Callable[[Change], object]] = []
        self.history: list[Change] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nothing change meanwhile."""
        with self._lock:
            yield

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._version

    def subscribe(self, callback: Callable[[Change], object]) -> None:
        """Call back after every change, in the thread that made it, with the store locked."""
        self._subscribers.append(callback)

    def compact(self) -> None:
        """Forget the history: a watch from an older resourceVersion gets 410 Gone."""
        with self._lock:
            self._oldest = self._version
            self._note_time()

    def _note_time(self) -> None:
        self._version += 1

    def since(self, version: int) -> list[Change]:
        """Every change after a resourceVersion.

        Raises:
            ApiError: 410, when they are forgotten.
        """
        with self._lock:
            if version < self._oldest:
                raise gone(version, self._oldest)
            first = next(
                (
                    len(self.history) - index
                    for index, change in enumerate(reversed(self.history))
                    if change.version <= version
                ),
                0,
            )
            return self.history[first:]

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        with self._lock:
            found = self._objects.get((kind, namespace, name))
            if found is None:
                raise not_found(kind, name)
            return _copied(found)

    def list(self, kind: Kind, namespace: str = "") -> tuple[list[Object], int]:
        """All objects of a kind, in order of name, and the resourceVersion of the list."""
        with self._lock:
            keys = sorted(
                (key for key in self._objects if key[0] == kind and namespace in {"", key[1]}),
                key=lambda key: key[1:],
            )
            return [_copied(self._objects[key]) for key in keys], self._version

    def create(
        self, item: Object, namespace: str = "", *, manager: str = "test", dry_run: bool = False
    ) -> Object:
        """Create an object; one with only a generateName is given a name."""
        try:
            kind = kind_of(item.get("apiVersion", ""), item.get("kind", ""))
        except KeyError:
            raise bad_request("the object provided is unrecognized") from None
        made = _copied(item)
        with self._lock:
            metadata = made.setdefault("metadata", {})
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = f"{metadata['generateName']}{next(self._suffixes):05d}"
            if not metadata.get("name"):
                raise bad_request("name or generateName is required")
            if kind.namespaced:
                metadata["namespace"] = namespace or metadata.get("namespace", "default")
            if kind.status:
                made.pop("status", None)
            key = (kind, metadata.get("namespace", ""), metadata["name"])
            if key in self._objects:
                raise already_exists(kind, metadata["name"])
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 1}
            return self._write(key, {}, made, manager, "", dry_run=dry_run)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        *,
        subresource: str = "",
        manager: str = "test",
        dry_run: bool = False,
    ) -> Object:
        """Replace an object by what `change` makes of it.

        An object that comes with another resourceVersion than the stored one is a conflict.
        """
        with self._lock:
            before = self.get(kind, namespace, name)
            after = change(_copied(before))
            seen = after.get("metadata", {}).get("resourceVersion")
            if seen and seen != before["metadata"]["resourceVersion"]:
                raise conflict(kind, name)
            after = _merged(kind, before, after, subresource)
            return self._write(
                (kind, namespace, name), before, after, manager, subresource, dry_run=dry_run
            )

    def set_status(self, item: Object, status: Object) -> Object:
        """Write an object's status, as a controller does."""
        kind = kind_of(item["apiVersion"], item["kind"])
        where = item["metadata"]
        subresource = "status" if kind.status else ""
        return self.update(
            kind,
            where.get("namespace", ""),
            where["name"],
            lambda now: now | {"status": _copied(status)},
            subresource=subresource,
            manager="controller",
        )

    def delete(self, kind: Kind, namespace: str, name: str, *, dry_run: bool = False) -> Object:
        with self._lock:
            before = self.get(kind, namespace, name)
            if not dry_run:
                del self._objects[kind, namespace, name]
                self._note_time()
                last = _copied(before)
                last["metadata"]["resourceVersion"] = str(self._version)
                self._tell(Change(self._version, "DELETED", kind, namespace, last, before))
            return before

    def _write(
        self,
        key: Key,
        before: Object,
        after: Object,
        manager: str,
        subresource: str,
        *,
        dry_run: bool,
    ) -> Object:
        if before and {**after, "metadata": _plain(after)} == {
            **before,
            "metadata": _plain(before),
        }:
            return _copied(before)
        manage(before, after, manager, subresource, _now())
        if not dry_run:
            self._note_time()
            after["metadata"]["resourceVersion"] = str(self._version)
            self._objects[key] = after
            verb = "MODIFIED" if before else "ADDED"
            kept = _copied(after)
            self._tell(Change(self._version, verb, key[0], key[1], kept, before or None))
        return _copied(after)

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        for subscriber in self._subscribers:
            subscriber(change)


def _plain(item: Object) -> Object:
    ignored = {"managedFields", "resourceVersion"}
    return {k: v for k, v in item["metadata"].items() if k not in ignored}


def _merged(kind: Kind, before: Object, after: Object, subresource: str) -> Object:
    """Keep what this kind of write may not touch."""
    if subresource == "status":
        return before | {"status": after.get("status", {})}
    kept = {"uid", "creationTimestamp", "generation", "name", "namespace"} & before[
        "metadata"
    ].keys()
    metadata = after.get("metadata", {}) | {name: before["metadata"][name] for name in kept}
    after = after | {"metadata": metadata, "apiVersion": before["apiVersion"]}
    after["kind"] = before["kind"]
    if kind.status:
        after.pop("status", None)
        after |= {"status": before["status"]} if "status" in before else {}
    if _spec(after) != _spec(before):
        metadata["generation"] = before["metadata"]["generation"] + 1
    return after
