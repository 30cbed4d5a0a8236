"""A receiver: a process beside the main one that answers HTTP on the same port.

It has a ledger, bindings and access of its own, and takes and commits events by itself. What runs
releases, and what tells others of them, is the main process alone, which it wakes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket

from coalmine._base.errors import CoalmineError
from coalmine.launcher.face import Face, make_telemetry
from coalmine.launcher.listen import listen_beside
from coalmine.launcher.notes import Notes
from coalmine.launcher.plan import Plan
from coalmine.launcher.telemetry import counted_together
from coalmine.launcher.wire import Begin, FarLogs, Home, Wire

__all__ = ["receive"]

logger = logging.getLogger(__name__)


def receive(plan: Plan, begin: bytes, orders: socket.socket, questions: socket.socket) -> None:
    """Answer HTTP until the main process is gone, or wants this one to be.

    Args:
        plan: How the launcher runs.
        begin: What the main process said, as `Begin` in JSON.
        orders: To the main process.
        questions: To the main process.
    """
    # With Ctrl-C the main process ends; this one has drained then, and need not die of it.
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        _receive(plan, Begin(**json.loads(begin)), Wire(orders, questions))
    except CoalmineError as error:
        logger.error("a receiver cannot begin: %s", error.message, extra={"fix": error.fix})  # noqa: TRY400
        raise SystemExit(error.exit_code) from None


def _receive(plan: Plan, begin: Begin, wire: Wire) -> None:
    assert plan.counts
    # What is noted with an event is sent from the main process, whose senders are woken as well.
    names = dict.fromkeys(sink.name for sink in plan.sinks)
    notes = Notes(tuple(names), plan.judges, wire.wake)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(contextlib.closing(plan.open_ledger(notes, begin.reached_at)))
        stack.enter_context(counted_together(plan.counts))
        home = Home(wire.wake, wire.ready, FarLogs(wire, plan.engine_names))
        face = Face(plan, ledger, make_telemetry(plan, ledger), home)
        listener = stack.enter_context(listen_beside(begin.host, begin.port))
        wire.follow(plan.read_again, face.end)
        face.answer(listener, plan.read_again)
