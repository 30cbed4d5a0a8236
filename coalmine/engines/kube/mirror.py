"""What an API server has of our objects, kept up to date by a watch, so that asking costs nothing.

Protocol (Kubernetes, "API concepts", efficient detection of changes): list, then watch from the
list's resourceVersion; bookmarks carry it on; a version that is too old (410) means to list again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from coalmine._base.errors import CoalmineError
from coalmine.engines.kube.answers import GONE, KubeError, Object, Resource
from coalmine.engines.kube.client import KubeClient
from coalmine.engines.protocol import BusyError

__all__ = ["RELEASE", "Mirror"]

logger = logging.getLogger(__name__)

RELEASE = "coalmine.dev/release"
"""The label that names the run that an object belongs to."""
FIRST_WAIT = 0.2
LONGEST_WAIT = 15.0
JOIN_SECONDS = 5.0
TROUBLED = 3
"""Failures in a row after which what is known is taken for stale."""


class Mirror:
    """The objects of one kind that bear our label; a thread of its own watches them.

    Args:
        client: The API server.
        resource: The kind of object.
        slim: Leaves of an object what is needed: there may be thousands.
    """

    def __init__(
        self, client: KubeClient, resource: Resource, slim: Callable[[Object], Object]
    ) -> None:
        self._client = client
        self._resource = resource
        self._slim = slim
        self._lock = threading.Lock()
        self._runs: dict[str, dict[str, Object]] = {}
        self._version = ""
        self._failures = 0
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._loop, name=f"watch {resource.plural}", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end as soon as it gets no more to read."""
        self._stop.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def of(self, run_id: str) -> tuple[Object, ...]:
        """Give the objects of a run.

        Raises:
            CoalmineError: The API server has not answered for a while.
        """
        if self._failures >= TROUBLED:
            raise CoalmineError(self._trouble)
        with self._lock:
            return tuple(self._runs.get(run_id, {}).values())

    def note(self, item: Object) -> None:
        """Take in an object that was just made, before the watch tells of it."""
        with self._lock:
            self._objects(item).setdefault(item["metadata"]["name"], self._slim(item))

    def _objects(self, item: Object) -> dict[str, Object]:
        run_id = item["metadata"].get("labels", {}).get(RELEASE, "")
        return self._runs.setdefault(run_id, {})

    def _loop(self) -> None:
        while not self._stop.is_set():
            wait = 0.0
            try:
                self._follow()
            except BusyError as busy:
                wait = busy.retry_after
            except CoalmineError as error:
                wait = self._failed(error)
            except Exception as error:  # the watch must live on
                if not self._stop.is_set():
                    logger.exception("the watch of %s broke", self._resource.plural)
                wait = self._failed(error)
            self._stop.wait(wait)

    def _failed(self, error: Exception) -> float:
        if isinstance(error, KubeError) and error.code == GONE:
            self._version = ""
            return 0.0
        self._failures += 1
        self._trouble = str(error)
        if self._failures == TROUBLED:
            logger.warning("the watch of %s fails: %s", self._resource.plural, error)
        return float(min(FIRST_WAIT * 2 ** min(self._failures - 1, 16), LONGEST_WAIT))

    def _follow(self) -> None:
        if not self._version:
            self._list()
        told = False
        for event in self._client.watch(self._resource, RELEASE, self._version):
            told = True
            self._failures = 0
            self._take(event)
            if self._stop.is_set():
                return
        if not told:
            # Not even a bookmark: a server that was restored from a copy waits in silence for a
            # version that it is yet to come to (recorded on Kubernetes 1.36).
            self._version = ""

    def _list(self) -> None:
        items, version = self._client.list(self._resource, RELEASE)
        with self._lock:
            self._runs = {}
            for item in items:
                self._objects(item)[item["metadata"]["name"]] = self._slim(item)
        self._version = version
        self._failures = 0

    def _take(self, event: Object) -> None:
        item = event["object"]
        metadata = item["metadata"]
        with self._lock:
            if event["type"] in {"ADDED", "MODIFIED"}:
                self._objects(item)[metadata["name"]] = self._slim(item)
            elif event["type"] == "DELETED":
                self._objects(item).pop(metadata["name"], None)
        self._version = metadata["resourceVersion"]
