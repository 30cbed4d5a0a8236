"""Watches: what each is told of the changes, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request

from tests.kubeapi.history import Change, Object
from tests.kubeapi.kinds import Kind
from tests.kubeapi.selectors import selector
from tests.kubeapi.status import ApiError
from tests.kubeapi.store import Store
from tests.kubeapi.target import Target

__all__ = ["Watches"]


class Watches:
    """The watches that are open.

    Attributes:
        bookmark_every: Seconds between bookmarks, where a watch allows them.
        epoch: A watch ends when it is another than it began in, as soon as it wakes.
        closing: Set when the server stops.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed: list[asyncio.Event] = []
        self.bookmark_every = 1.0
        self.epoch = 0
        self.closing = asyncio.Event()

    def wake(self) -> None:
        """Have all look for changes; called in the server's thread."""
        for event in self._changed:
            event.set()

    async def watch(self, request: Request, target: Target) -> AsyncIterator[bytes]:
        """Give the lines of one."""
        event = asyncio.Event()
        self._changed.append(event)
        try:
            async for line in self._events(request, target, event):
                yield json.dumps(line).encode() + b"\n"
        except ApiError as refusal:
            yield json.dumps({"type": "ERROR", "object": refusal.body}).encode() + b"\n"
        finally:
            self._changed.remove(event)

    async def _events(
        self, request: Request, target: Target, event: asyncio.Event
    ) -> AsyncIterator[Object]:
        query = request.query_params
        matches = selector(query)
        seen = int(query.get("resourceVersion") or 0)
        if not seen:
            items, seen = self._store.list(target.kind, target.namespace)
            for item in filter(matches, items):
                yield {"type": "ADDED", "object": item}
        now = asyncio.get_running_loop().time
        ends = now() + float(query.get("timeoutSeconds", "300"))
        bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        epoch = self.epoch
        while (left := ends - now()) > 0 and epoch == self.epoch and not self.closing.is_set():
            event.clear()
            for change in self._store.since(seen):
                seen = change.version
                for line in _seen(change, target, matches):
                    yield line
            if not await _woken(event, min(self.bookmark_every, left)) and bookmarks:
                yield {"type": "BOOKMARK", "object": _bookmark(target.kind, seen)}


async def _woken(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _seen(change: Change, target: Target, matches: Callable[[Object], bool]) -> list[Object]:
    """What a watch with a selector sees of a change."""
    if change.kind != target.kind or target.namespace not in {"", change.namespace}:
        return []
    now = change.type != "DELETED" and matches(change.object)
    before = change.before is not None and matches(change.before)
    if now:
        return [{"type": "MODIFIED" if before else "ADDED", "object": change.object}]
    return [{"type": "DELETED", "object": change.object}] if before else []


def _bookmark(kind: Kind, version: int) -> Object:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
