"""Sees to it that an accepted release becomes exactly one run, and follows the run to its end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.engines.protocol import Engine
from coalmine.launcher.drive import Change, Driver
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.patience import SUBMIT_SECONDS, Patience
from coalmine.launcher.release import OpenRelease
from coalmine.launcher.settling import Settling

__all__ = ["Dispatcher"]

logger = logging.getLogger(__name__)

ACTIVE_SECONDS = 0.2
IDLE_SECONDS = 2.0
REST_SECONDS = 0.05
"""At least, and as long as the round took of the processor; none while releases wait in line."""
CHECK_IN_SECONDS = 3.0
SUBMITTERS = 8
PARTS = 4 * SUBMITTERS
"""In which what is asked of far engines is dealt out, so that a slow one holds few others up."""
MOST_BEGUN = 100
"""At once; the others follow in the next round, so that none waits for all."""


class Dispatcher:
    """Drives every open release; one thread, so that no two hands touch one release.

    Args:
        ledger: Where releases stand.
        engines: By their words.
        find_pipeline: From a pipeline's name to its file.
        monotonic: Seconds that only grow.
        submit_for: Seconds for which a run is submitted again and again before it is given up.
        on_trouble: Called when an engine or the ledger failed.
        on_step: Told a step's name, how it ended, and after how many seconds.
        on_end: Told the id of a release that has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        engines: Mapping[str, Engine],
        find_pipeline: Callable[[str], Path],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        submit_for: float = SUBMIT_SECONDS,
        on_trouble: Callable[[], None] = lambda: None,
        on_step: Callable[[str, str, float], None] = lambda *_: None,
        on_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._engines = engines
        self._monotonic = monotonic
        self._on_trouble = on_trouble
        self._driver = Driver(
            engines,
            find_pipeline,
            Patience(submit_for, monotonic),
            on_trouble=on_trouble,
            on_step=on_step,
            on_end=on_end,
        )
        self._settling = Settling(ledger, self._driver, self._take_up, monotonic)
        self._hands = ThreadPoolExecutor(SUBMITTERS, "submit")
        self._in_line = False
        self._next_check_in = monotonic()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin; whatever the ledger has open is taken up again."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current round; what is open is taken up at the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._hands.shutdown()

    def wake(self) -> None:
        """Tell that there may be something new."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Tell whether the thread works."""
        return self._thread.is_alive() and not self._stop.is_set()

    def tick(self) -> bool:
        """Do one round; tells whether anything is open."""
        self._check_in()
        self._in_line = False
        begun = self._ledger.begin(MOST_BEGUN)
        self._take_up(begun)
        self._in_line = len(begun) == MOST_BEGUN  # there may be more than could begin at once
        running = self._ledger.running()
        self._drive(running)
        return bool(running) or self._ledger.any_open()

    def _take_up(self, begun: Sequence[str]) -> None:
        """Take note that releases have begun; they are driven with all that run."""
        self._driver.expect_none(begun)
        self._in_line = self._in_line or bool(begun)

    def _drive(self, releases: Sequence[OpenRelease]) -> None:
        far = [one for one in releases if self._is_far(one)]
        for release in releases:
            if not self._is_far(release):
                self._settling.add(self._driver.drive(release))
        with contextlib.closing(self._drive_far(far)) as changes:
            for change in changes:
                self._settling.add(change)
        self._settling.write()

    def _drive_far(self, releases: Sequence[OpenRelease]) -> Generator[Change | None, None, None]:
        """Ask engines behind a network: several at a time, each release in one hand still."""
        parts = [releases[number::PARTS] for number in range(min(PARTS, len(releases)))]
        under_way = [self._hands.submit(self._drive_some, part) for part in parts]
        try:
            for done in as_completed(under_way):
                yield from done.result()
        finally:  # where the ledger fails, too: the next round would be a second hand
            wait(under_way)

    def _drive_some(self, releases: Sequence[OpenRelease]) -> list[Change | None]:
        return [self._driver.drive(one) for one in releases]

    def _is_far(self, release: OpenRelease) -> bool:
        engine = self._engines.get(release.engine)
        return engine is not None and engine.portable

    def _check_in(self) -> None:
        now = self._monotonic()
        if now < self._next_check_in:
            return
        portable = [name for name, engine in self._engines.items() if engine.portable]
        if taken := self._ledger.check_in(portable):
            logger.warning("took over %s runs of a launcher that is gone", taken)
        self._next_check_in = now + CHECK_IN_SECONDS

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            active = False
            before = time.thread_time()
            try:
                active = self.tick()
            except CoalmineError as error:
                logger.error(error.message, extra={"fix": error.fix})  # noqa: TRY400
                self._on_trouble()
            except Exception:  # the thread must live on: all services depend on it
                logger.exception("a round of the dispatcher broke")
                self._on_trouble()
            if active and self._in_line:
                continue
            # Woken at every commit, rounds would leave no time to those who receive.
            self._stop.wait(max(REST_SECONDS, time.thread_time() - before))
            self._wake.wait(ACTIVE_SECONDS if active else IDLE_SECONDS)
