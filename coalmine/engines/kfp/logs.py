"""What tasks on Kubeflow Pipelines have written, as far as its API server gives it.

It gives the log of a pod that is there, or one that was archived; always from its beginning, so
what was read before is passed over, and no more is kept at a time than `MOST`.
"""

from __future__ import annotations

from collections.abc import Iterable

from coalmine._base.errors import CoalmineError
from coalmine.engines.kfp.api import NOT_FOUND, KfpApi, KfpError
from coalmine.engines.kfp.pods import pod_of

__all__ = ["LARGEST", "MOST", "NOTICE", "part_of", "read_task_log"]

MOST = 1 << 20
"""Bytes given at a time."""
LARGEST = 4 << 20
"""Bytes given of one log: all of it is sent again for each look at what is new."""
NOTICE = b"\n(Coalmine reads no more of this log than its first 4 MiB; the pod has all of it.)\n"
WAITS = "waiting to start"
"""What the kubelet says of a container that is still being made."""


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
