"""See that the core parts answer."""

from __future__ import annotations

from dataclasses import asdict

from coalmine._base.errors import CoalmineError
from coalmine.stack.layout import Endpoints
from coalmine.stack.loopback import OK, get
from coalmine.stack.supervisor import ProgramState, Supervisor
from coalmine.stack.waiting import wait_for

__all__ = ["healthy", "wait_healthy"]

START_SECONDS = 30.0
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

        if not wait_for(look, seconds=START_SECONDS) or failing:
            tail = supervisor.log_tail(part) or "(its log is empty)"
            raise CoalmineError(f"{part} does not start; the end of its log:\n{tail}")
