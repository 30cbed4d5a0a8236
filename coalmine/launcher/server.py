"""The launcher: its main process, which runs releases and answers HTTP, and receivers beside it."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from coalmine.engines.local import LocalEngine
from coalmine.engines.open import open_engines
from coalmine.engines.protocol import Engine
from coalmine.launcher.announce import announced, read_announced
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.face import Face, make_telemetry
from coalmine.launcher.folder import own
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.listen import listen, url_of
from coalmine.launcher.plan import Plan, make_plan
from coalmine.launcher.receivers import Receivers
from coalmine.launcher.receiving import receive
from coalmine.launcher.settings import Settings
from coalmine.launcher.telemetry import Telemetry, counted_together
from coalmine.launcher.telling import Telling
from coalmine.launcher.traces import tracing
from coalmine.launcher.wire import Begin, Home

__all__ = ["Settings", "serve"]

logger = logging.getLogger(__name__)

TOKEN = "COALMINE_TOKEN"  # noqa: S105 - the variable's name
LAUNCHER_URL = "COALMINE_LAUNCHER_URL"
"""Where the gate asks what a person decided."""
LEFT_SECONDS = 5.0
"""For receivers of a launcher that was killed, to let go of its port."""


def serve(settings: Settings) -> None:
    """Run a launcher until SIGTERM or SIGINT; then drain and let go.

    A step that runs is ended, and run again at the next start with the same state folder.

    Raises:
        InputError: A setting is wrong; nothing was begun.
        CoalmineError: The state cannot be used.
    """
    plan = make_plan(settings)
    with contextlib.ExitStack() as stack:
        # First of all: it forks, and what is there now is there in every receiver.
        work = functools.partial(receive, plan)
        receivers = Receivers(settings.receivers - 1, work)
        stack.callback(receivers.close)
        stack.enter_context(own(settings.state))
        left = LEFT_SECONDS if read_announced(settings.state) else 0.0
        listener = stack.enter_context(listen(settings.host, settings.port, left))
        url = url_of(listener)
        reached_at = settings.public_url or url
        telling = Telling(plan.sinks, reached_at, plan.judges, settings.tell_for)
        ledger = stack.enter_context(
            contextlib.closing(plan.open_ledger(telling.notes, reached_at))
        )
        if plan.counts:
            stack.enter_context(counted_together(plan.counts, anew=True))
        telemetry = make_telemetry(plan, ledger)
        opened = settings.open_engines or functools.partial(_open_engines, plan)
        engines = stack.enter_context(opened(url, plan.own_token))
        stack.enter_context(telling.sending(ledger.database, telemetry.told))
        dispatcher = stack.enter_context(_dispatching(plan, ledger, engines, telemetry))

        def wake() -> None:
            dispatcher.wake()
            telling.notes.wake()

        def hangup() -> None:
            plan.read_again()
            receivers.again()

        home = Home(wake, lambda: dispatcher.alive, engines)
        face = Face(plan, ledger, telemetry, home, receivers.drain)
        host, port = listener.getsockname()[:2]
        receivers.begin(Begin(host, port, reached_at), home)
        stack.enter_context(announced(settings.state, url))
        face.answer(listener, hangup)
        logger.info("stopping")
        receivers.close()


@contextlib.contextmanager
def _dispatching(
    plan: Plan, ledger: Ledger, engines: Mapping[str, Engine], telemetry: Telemetry
) -> Iterator[Dispatcher]:
    with tracing(ledger, plan.settings.environ) as ended:
        dispatcher = Dispatcher(
            ledger,
            engines,
            plan.find,
            submit_for=plan.settings.submit_for,
            on_trouble=telemetry.troubled,
            on_step=telemetry.step_ended,
            on_end=ended,
        )
        dispatcher.start()
        try:
            yield dispatcher
        finally:
            dispatcher.stop()


def _open_engines(
    plan: Plan, url: str, own_token: str
) -> AbstractContextManager[Mapping[str, Engine]]:
    settings = plan.settings
    local = LocalEngine(
        settings.state,
        settings.read_graph,
        host_command=settings.host_command,
        environ={LAUNCHER_URL: url, **settings.environ, TOKEN: own_token},
    )
    return open_engines(plan.engine_names, settings.engines, settings.read_graph, local)
