"""What pods have written, read on from where each reader is.

A reader names a place by the bytes it has read; a server knows moments. Which moment is at which
place is kept here, so that to follow a log costs what is new in it. Where that is not known (after
a restart), the log is read from its beginning once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from coalmine.engines.kube.answers import KubeError
from coalmine.engines.kube.client import KubeClient
from coalmine.engines.kube.dialect import Container
from coalmine.engines.kube.tail import Mark, Tail

__all__ = ["LOG_BYTES", "PodLogs"]

LOG_BYTES = 1 << 20
"""Of a log at a time; whoever wants more asks again."""
MOST_MARKS = 4096
"""Places that are kept, those that were asked for last."""

Place = tuple[str, str, int]
"""A run, a task of it, and a byte of what that has written."""


class PodLogs:
    """Reads logs.

    Args:
        client: The API server.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._marks: OrderedDict[Place, Mark] = OrderedDict()

    def read(self, place: Place, container: Container) -> bytes:
        """Give what follows a place.

        The log of a task that was tried again is that of its newest pod, behind what was read of
        the pod before.

        Raises:
            KubeError: There is no such pod, or its log is not to be had.
            CoalmineError: The server does not answer.
        """
        with self._lock:
            mark = self._marks.get(place)
        if mark is None:
            return self._read(place, container, Mark(container.pod), place[2])
        if mark.pod != container.pod:
            if rest := self._rest(place, Container(mark.pod, container.name), mark):
                return rest
            mark = Mark(container.pod)
        return self._read(place, container, mark, 0)

    def _read(self, place: Place, container: Container, mark: Mark, skip: int) -> bytes:
        tail = Tail(mark, skip, LOG_BYTES)
        with self._client.log(container.pod, container.name, mark.since) as parts:
            found = tail.read(parts)
        if not tail.short:
            run, task, start = place
            self._keep((run, task, start + len(found)), tail.mark)
        return found

    def _rest(self, place: Place, before: Container, mark: Mark) -> bytes:
        try:
            return self._read(place, before, mark, 0)
        except KubeError:  # it is gone; the task goes on in another
            return b""

    def _keep(self, place: Place, mark: Mark) -> None:
        with self._lock:
            self._marks[place] = mark
            self._marks.move_to_end(place)
            while len(self._marks) > MOST_MARKS:
                self._marks.popitem(last=False)
