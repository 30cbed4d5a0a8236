"""See that the core parts answer."""

from __future__ import annotations

from dataclasses import asdict

from coalmine._base.errors import CoalmineError
from coalmine.stack.layout import Endpoints
from coalmine.stack.loopback import OK, get
from coalmine.stack.supervisor import ProgramState, Supervisor
from coalmine.stack.waiting import wait_for

__all__ = ["healthy", "wait_healthy"]

START_SECONDS = 120.0
"""A part that keeps ending is told of at once; one that is only slow, on a busy machine, is not."""
READY_PATHS = {
    "envoy": ("proxy_admin", "/ready"),
    "prometheus": ("prometheus", "/-/ready"),
    "launcher": ("launcher", "/readyz"),
}


def healthy(part: str, endpoints: Endpoints) -> bool:
    """Tell whether a core part says that it is ready."""
    attribute, path = READY_PATHS[part]
    try:
        status, _ = get(asdict(endpoints)[attribute] + path, seconds=2)
    except OSError:
        return False
    return status == OK


def wait_healthy(supervisor: Supervisor, endpoints: Endpoints) -> None:
    """Wait until every core part that is supervised is ready.

    Raises:
        CoalmineError: One is not in time, or keeps ending; the message has the end of its log.
    """
    for part in sorted(READY_PATHS.keys() & supervisor.states().keys()):
        failing: list[ProgramState] = []

        def look(part: str = part, failing: list[ProgramState] = failing) -> bool:
            state = supervisor.states()[part]
            if state.state in ("BACKOFF", "FATAL"):
                failing.append(state)
            return bool(failing) or healthy(part, endpoints)

        is_there = wait_for(look, seconds=START_SECONDS)
        if failing or not is_there:
            late = f"is not ready after {START_SECONDS:g} s"
            tail = supervisor.log_tail(part) or "(its log is empty)"
            raise CoalmineError(
                f"{part} {'does not start' if failing else late}; the end of its log:\n{tail}",
                fix="" if failing else "if the machine is busy, try again when it is less so",
            )
