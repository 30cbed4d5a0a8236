"""What tasks on Kubeflow Pipelines have written, as far as its API server gives it.

It gives the log of a pod that is there, or one that was archived; always from its beginning, so
what was read before is passed over, and no more is kept at a time than `MOST`. Its parameter
``follow`` is of no help: what is new is held back until there are 4 KB of it. So a log is asked
for the more rarely, the longer it is (`Pace`), and to follow one costs so many bytes a second at
most, however long it goes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from coalmine._base.errors import CoalmineError
from coalmine.engines.kfp.api import NOT_FOUND, KfpApi, KfpError
from coalmine.engines.kfp.pods import pod_of

__all__ = ["LARGEST", "MOST", "NOTICE", "Pace", "part_of", "read_task_log"]

MOST = 1 << 20
"""Bytes given at a time."""
LARGEST = 4 << 20
"""Bytes given of one log: all of it is sent again for each look at what is new."""
NOTICE = b"\n(Coalmine reads no more of this log than its first 4 MiB; the pod has all of it.)\n"
BYTES_A_SECOND = 1 << 18
MOST_KEPT = 1000
"""Logs whose pace is known, those that were read last."""
WAITS = "waiting to start"
"""What the kubelet says of a container that is still being made."""


class Pace:
    """When a log may be asked for again by those who have read all that it had."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def waits(self, run_id: str, task: str, start: int, now: float) -> bool:
        """Tell whether it is too early to ask for what follows a byte; seconds that only grow."""
        size, until = self._known.get((run_id, task), (0, 0.0))
        return start >= size > 0 and now < until

    def read(self, run_id: str, task: str, end: int, now: float, *, more: bool) -> None:
        """Take note that it was read up to a byte, and whether there may be more already."""
        with self._lock:
            self._known[run_id, task] = (end, now if more else now + end / BYTES_A_SECOND)
            self._known.move_to_end((run_id, task))
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)


def read_task_log(api: KfpApi, run: str, task: str, start: int) -> bytes | None:
    """Give what a task has written, from a byte on; None if no pod of it has begun.

    Args:
        api: The installation.
        run: The API's id of the run.
        task: The name that the task has in the pipeline.
        start: The first byte to give.

    Raises:
        CoalmineError: The log is not to be had, or the API does not answer.
    """
    try:
        pod = pod_of(api.workflow(run), task)
        return _read(api, run, pod, start) if pod else None
    except KfpError as error:
        if WAITS in error.message:
            return b""
        raise _not_to_be_had(error, task) from None


def _read(api: KfpApi, run: str, pod: str, start: int) -> bytes:
    if start >= LARGEST:
        return NOTICE[start - LARGEST :]
    with api.log(run, pod) as parts:
        return part_of(parts, start, min(MOST, LARGEST - start))


def part_of(parts: Iterable[bytes], start: int, most: int) -> bytes:
    """Give the bytes from one on, and read no further than they go."""
    found, at = bytearray(), 0
    for part in parts:
        found += part[max(start - at, 0) :]
        at += len(part)
        if len(found) >= most:
            break
    return bytes(found[:most])


def _not_to_be_had(error: KfpError, task: str) -> CoalmineError:
    if error.fix:  # a right is missing, or a token
        return error
    fix = "keep pods for longer, or archive their logs (ARCHIVE_CONFIG_LOG_PATH_PREFIX there)"
    if error.code == NOT_FOUND:
        fix = "let /apis/v1beta1/runs and /apis/v1alpha1/runs through to it, or see its UI"
    message = f"Kubeflow Pipelines has no log of {task} to give: {error.message}"
    return KfpError(message, error.code, fix=fix)
