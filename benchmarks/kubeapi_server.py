"""The tests' API server as a process of its own; prints its URL, and ends when its stdin does."""

from __future__ import annotations

import sys

from tests.kubeapi.faults import Fault
from tests.kubeapi.server import serve
from tests.kubeapi.status import too_many


class _EveryTenth:
    def __init__(self) -> None:
        self._asked = 0

    def __call__(self) -> bool:
        self._asked += 1
        return self._asked % 10 == 0


if __name__ == "__main__":
    with serve() as api:
        if "busy" in sys.argv:
            api.faults.add(Fault("POST", "", too_many(1), times=None, when=_EveryTenth()))
        print(api.url, flush=True)
        sys.stdin.read()
