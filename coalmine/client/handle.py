"""A release in Python's hands: asked for, waited for, cancelled, and shown as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.client.launcher import get_release
from coalmine.client.picture import as_html, shown_live
from coalmine.events import new_event
from coalmine.events.send import ask_to, send_event
from coalmine.launcher.announce import read_announced
from coalmine.launcher.bindings import PIPELINE

__all__ = ["Release", "release"]

SOURCE = "/coalmine/python"
STATE = ".coalmine/local"
OPEN = frozenset({"accepted", "running"})
POLL_SECONDS = 0.5
PATIENCE = 60.0


def release(
    bento: str,
    *,
    service: str = "",
    percent: int | None = None,
    pipeline: str = "",
    launcher: str = "",
    state: str | Path | None = None,
    token: str = "",
    event_id: str = "",
) -> Release:
    """Ask for a release, and give a handle on it as soon as it is stored.

    Args:
        bento: ``NAME`` or ``NAME:VERSION``; ``NAME:latest`` and ``NAME`` mean the newest version.
        service: What users call; the bento's name unless given.
        percent: The canary's share of the traffic, 1 to 99.
        pipeline: One that the launcher's bindings offer, such as ``progressive``; that which they
            choose unless given.
        launcher: The launcher's base URL; that with the state folder unless given.
        state: The state folder; ``COALMINE_STATE`` or ``.coalmine/local`` unless given.
        token: Shown to the launcher; that in ``COALMINE_TOKEN`` unless given.
        event_id: The same id again is the same release; a new one unless given.

    Raises:
        InputError: The launcher refuses what is asked for.
        CoalmineError: There is no launcher, or it does not answer.
    """
    name, _, version = bento.partition(":")
    asked: dict[str, object] = {"name": name, "service": service, "percent": percent}
    asked["version"] = "" if version == "latest" else version
    url = launcher or _find(Path(state or os.environ.get("COALMINE_STATE") or STATE))
    shown = token or os.environ.get("COALMINE_TOKEN", "").strip()
    data = {key: value for key, value in asked.items() if value not in {"", None}}
    extensions = {PIPELINE: pipeline} if pipeline else {}
    event = new_event(data=data, source=SOURCE, id=event_id, extensions=extensions)
    return Release(send_event(url, event, token=shown).id, url, token=shown)


def _find(state: Path) -> str:
    found = read_announced(state)
    if not found:
        raise CoalmineError(
            f"no launcher runs with its state in {state}",
            fix="start one with: coalmine up, or give launcher='http://...'",
        )
    return found


class Release:
    """A release that a launcher knows. In a notebook it shows itself as a table.

    Args:
        id: Its id.
        launcher: The launcher's base URL.
        token: Shown to the launcher, if any.
        sleep: Waits.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as everybody calls it
        launcher: str,
        *,
        token: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.id = id
        self._launcher = launcher
        self._token = token
        self._sleep = sleep

    def read(self) -> dict[str, Any]:
        """Give everything that is known now, as ``coalmine runs ID -o json`` prints it.

        Raises:
            CoalmineError: The launcher does not answer.
        """
        return get_release(self._launcher, self.id, token=self._token)

    @property
    def state(self) -> str:
        """Where it is: ``accepted``, ``running``, ``promoted``, ``rolled_back`` and so on."""
        return str(self.read()["state"])

    def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until it has ended; gives what `read` gives then.

        Args:
            timeout: Seconds to wait at most; as long as it takes unless given.

        Raises:
            TimeoutError: It has not ended by then; it goes on.
            CoalmineError: The launcher has not answered for a minute.
        """
        last: dict[str, Any] = {}
        for last in self._readings(timeout):  # noqa: B007
            pass
        return last

    def watch(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait as `wait` does, and show meanwhile how it goes, on a terminal or in a notebook."""
        last: dict[str, Any] = {}
        with shown_live() as show:
            for last in self._readings(timeout):
                show(last)
        return last

    def cancel(self) -> str:
        """Have it ended, its canary taken away; gives its state. Asked again it is the same.

        Raises:
            InputError: It has ended already.
            CoalmineError: The launcher does not answer.
        """
        return self._ask("cancel")

    def approve(self) -> str:
        """Have its canary promoted when its gate holds it for a person; gives its state."""
        return self._ask("approve")

    def reject(self) -> str:
        """Have its canary rolled back when its gate holds it for a person; gives its state."""
        return self._ask("reject")

    def retry(self) -> Release:
        """Ask once more for what came to nothing; gives the new release."""
        answer = ask_to("retry", self._launcher, self.id, token=self._token)
        return Release(answer.id, self._launcher, token=self._token, sleep=self._sleep)

    def _ask(self, verb: str) -> str:
        return ask_to(verb, self._launcher, self.id, token=self._token).state

    def _readings(self, timeout: float | None) -> Iterator[dict[str, Any]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        answered = time.monotonic()
        while True:
            try:
                found = self.read()
            except InputError:
                raise
            except CoalmineError:  # a launcher that starts again goes on with the release
                if time.monotonic() - answered > PATIENCE:
                    raise
            else:
                answered = time.monotonic()
                yield found
                if found["state"] not in OPEN:
                    return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the release {self.id} has not ended in {timeout:g} s")
            self._sleep(POLL_SECONDS)

    def __repr__(self) -> str:
        return f"<Release {self.id} at {self._launcher}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        try:
            return as_html(self.read())
        except CoalmineError as error:
            return f"<p>{escape(repr(self))}: {escape(error.message)}</p>"
