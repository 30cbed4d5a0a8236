"""What the server does wrong, on purpose."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.kubeapi.status import ApiError

__all__ = ["Fault", "Faults", "Reset"]


class Reset(StrEnum):
    """When the connection breaks."""

    BEFORE = "before the request is carried out"
    AFTER = "after the request was carried out, before it is answered"


@dataclass(slots=True)
class Fault:
    """One fault.

    Attributes:
        method: The requests it meets: their method...
        path: ...and a regular expression that is found in their path with its query.
        refusal: What they get; a callable is asked each time.
        reset: When their connection breaks.
        hold: They wait for this first, 30 s at most.
        times: How many requests it meets; None for all.
        when: Asked last, for each request.
        met: How many it has met.
    """

    method: str
    path: str
    refusal: ApiError | Callable[[], ApiError] | None = None
    reset: Reset | None = None
    hold: threading.Event | None = None
    times: int | None = 1
    when: Callable[[], bool] = field(default=lambda: True)
    met: int = 0

    def meets(self, method: str, path: str) -> bool:
        if self.times is not None and self.met >= self.times:
            return False
        return method == self.method and bool(re.search(self.path, path)) and self.when()


class Faults:
    """The faults that are yet to come, first come first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.meets(method, path):
                    fault.met += 1
                    return fault
        return None
