"""Senders that note what they were promised, and the check of it at the engine's side."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

__all__ = ["Load", "check_runs", "wait_drained"]

SERVICES = 40
PAUSE_SECONDS = 0.02


class Load:
    """Senders that go on until they are told to stop, and note what they were promised.

    An event that got no good answer is sent again, as a sender should.
    """

    def __init__(self, *launchers: Any, senders: int = 2) -> None:
        self.launchers = launchers
        self.promised: dict[str, str] = {}
        self.unknown = 0
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(senders)
        self._work = [self._pool.submit(self._send, number) for number in range(senders)]

    def _send(self, sender: int) -> None:
        number = tries = 0
        while not self._stop.wait(PAUSE_SECONDS):
            tries += 1
            launcher = self.launchers[tries % len(self.launchers)]
            service = f"s{number % SERVICES}"
            try:
                answer = launcher.post(id=f"{sender}-{number}", name="iris", service=service)
            except (httpx.HTTPError, httpx.UnsupportedProtocol):
                self.unknown += 1
                continue
            assert answer.status_code in {200, 202, 503}, answer.text
            if answer.is_success:
                self.promised[answer.json()["id"]] = service
                number += 1

    def stop(self) -> None:
        self._stop.set()
        for one in self._work:
            one.result()
        self._pool.shutdown()


def check_runs(launcher: Any, promised: dict[str, str]) -> None:
    """Every promise is one run, none is another's, and no service ran two at a time."""
    runs = launcher.runs()
    counts = Counter(run[0] for run in runs)
    assert set(promised) <= set(counts)
    assert set(counts.values()) == {1}
    ends: dict[str, float] = {}
    for _, service, begun, ended in runs:
        assert begun >= ends.get(service, 0.0)
        assert ended is not None
        ends[service] = ended


def wait_drained(launcher: Any) -> None:
    def drained() -> bool:
        text = httpx.get(f"{launcher.url}/metrics").text
        states = ("accepted", "running")
        return all(f'coalmine_releases{{state="{one}"}} 0.0' in text for one in states)

    launcher.wait_for(drained)
