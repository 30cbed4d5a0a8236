"""The objects, as a server keeps and changes them."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.kubeapi.history import Change, History, Object
from tests.kubeapi.kinds import Kind, kind_of
from tests.kubeapi.managed import manage
from tests.kubeapi.status import already_exists, bad_request, conflict, not_found

__all__ = ["Change", "Object", "Store"]

Key = tuple[Kind, str, str]


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
        self._history = History()
        self._suffixes = itertools.count(1)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nothing change meanwhile."""
        with self._lock:
            yield

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._history.version

    def subscribe(self, callback: Callable[[Change], object]) -> None:
        """Call back after every change, in the thread that made it, with the store locked."""
        self._history.subscribe(callback)

    def compact(self) -> None:
        """Forget the history: a watch from an older resourceVersion gets 410 Gone."""
        with self._lock:
            self._history.compact()

    def since(self, version: int) -> list[Change]:
        """Every change after a resourceVersion.

        Raises:
            ApiError: 410, when they are forgotten.
        """
        with self._lock:
            return self._history.since(version)

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
            return [_copied(self._objects[key]) for key in keys], self.version

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
                last = _copied(before)
                last["metadata"]["resourceVersion"] = self._history.advance()
                change = Change(self.version, "DELETED", kind, namespace, last, before)
                self._history.add(change)
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
            after["metadata"]["resourceVersion"] = self._history.advance()
            self._objects[key] = after
            verb = "MODIFIED" if before else "ADDED"
            kept = _copied(after)
            self._history.add(Change(self.version, verb, key[0], key[1], kept, before or None))
        return _copied(after)


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
