"""What Prometheus can read of the launcher itself."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from coalmine._base.errors import CoalmineError

__all__ = ["CONTENT_TYPE_LATEST", "Telemetry", "counted_together"]

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
RESERVED = {"counter": 1 << 16, "histogram": 1 << 20}
"""Bytes of disk for what the main process counts: a few hundred numbers, and as many steps."""
RESERVED_BESIDE = {"counter": 1 << 13}
"""The same for a receiver, which counts answers alone: one for each status."""


@contextlib.contextmanager
def counted_together(folder: Path, *, anew: bool = False) -> Iterator[None]:
    """Let the counters that are made in this block count with those of other processes.

    Args:
        folder: Where each process has its counts; those of one that has ended stay.
        anew: Forget what is there: those who counted are all gone, and this is the main process.

    Raises:
        CoalmineError: The folder cannot be written.
    """
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        _reserve(folder, RESERVED if anew else RESERVED_BESIDE)
    except OSError as error:
        raise CoalmineError(
            f"the counts in {folder} cannot be kept: {error.strerror}",
            fix="see that the state folder can be written and its disk is not full",
        ) from None
    before = os.environ.get(FOLDER_VARIABLE), values.ValueClass
    # The library chooses when it is imported, which is before anybody knows of this folder.
    os.environ[FOLDER_VARIABLE] = str(folder)
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        values.ValueClass = before[1]
        os.environ.pop(FOLDER_VARIABLE)
        if before[0] is not None:
            os.environ[FOLDER_VARIABLE] = before[0]


def _reserve(folder: Path, sizes: Mapping[str, int]) -> None:
    """Take the disk that this process needs to count, before it counts.

    The library maps files with holes into memory, and a process that writes into a hole of a disk
    that is full meanwhile is killed (SIGBUS). Nor can it read one that is empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, size in sizes.items():
        file = folder / f"{kind}_{os.getpid()}.db"
        if not file.exists():  # else it is of one that had this number, and counts go on
            reserved = file.with_suffix(".new")
            try:
                reserved.write_bytes(bytes(size))
                reserved.rename(file)
            finally:
                reserved.unlink(missing_ok=True)


class _Releases(Collector):
    def __init__(self, count: Callable[[], Mapping[str, int]]) -> None:
        self._count = count

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        for state, count in self._count().items():
            family.add_metric([state], count)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "coalmine_releases", "Releases in the ledger, by state.", labels=["state"]
        )


class _Waits(Collector):
    """What waits, read from the ledger when Prometheus asks."""

    def __init__(
        self,
        queue_age: Callable[[], float],
        waiting: Callable[[], Iterable[tuple[str, int, float, int]]],
    ) -> None:
        self._queue_age = queue_age
        self._waiting = waiting

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        queue, depth, age, dead = families = self._families()
        queue.add_metric([], self._queue_age())
        for sink, count, seconds, aside in self._waiting():
            depth.add_metric([sink], count)
            age.add_metric([sink], seconds)
            dead.add_metric([sink], aside)
        yield from families

    def _families(self) -> tuple[GaugeMetricFamily, ...]:
        return (
            GaugeMetricFamily(
                "coalmine_queue_age_seconds",
                "How long the oldest release that has not begun has waited; 0 if none waits.",
            ),
            GaugeMetricFamily(
                "coalmine_outbox_depth",
                "Things that a sink has yet to be told, by sink.",
                labels=["sink"],
            ),
            GaugeMetricFamily(
                "coalmine_outbox_age_seconds",
                "How long the oldest of them has waited, by sink.",
                labels=["sink"],
            ),
            GaugeMetricFamily(
                "coalmine_outbox_dead",
                "Things that a sink did not take for so long that they were put aside, by sink.",
                labels=["sink"],
            ),
        )


class _Stale(Collector):
    """Which files are wrong, as the process has them that is asked: all read the same files."""

    def __init__(self, stale: Mapping[str, Callable[[], bool]]) -> None:
        self._stale = stale

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from (self._family(what) for what in self._stale)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for what, is_stale in self._stale.items():
            family = self._family(what)
            family.add_metric([], float(is_stale()))
            yield family

    def _family(self, what: str) -> GaugeMetricFamily:
        said = f"1 while the {what} file is wrong and what was read before holds."
        return GaugeMetricFamily(f"coalmine_{what}_stale", said)


STEP_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)


class Telemetry:
    """Counts, in a registry of its own, or together with other processes.

    Args:
        count: Gives the number of releases in each state.
        stale: Tells whether the bindings file is wrong, so that an older one holds.
        access_stale: Tells the same of the access file.
        queue_age: Gives the seconds for which the oldest release that has not begun has waited.
        waiting: Gives for each sink what it has yet to be told, the age of the oldest, and what it
            is told no more.
        together: The folder in which processes count together, within `counted_together`; None
            where this process counts alone.
    """

    def __init__(
        self,
        count: Callable[[], Mapping[str, int]],
        stale: Callable[[], bool] = lambda: False,
        *,
        access_stale: Callable[[], bool] = lambda: False,
        queue_age: Callable[[], float] = lambda: 0.0,
        waiting: Callable[[], Iterable[tuple[str, int, float, int]]] = tuple,
        together: Path | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        # What is counted together is read from the files of all, and not from this one's counters.
        self._shown = CollectorRegistry() if together else self._registry
        if together:
            MultiProcessCollector(self._shown, str(together))  # type: ignore[no-untyped-call]
        self._shown.register(_Releases(count))
        self._shown.register(_Waits(queue_age, waiting))
        self._shown.register(_Stale({"bindings": stale, "access": access_stale}))
        self._told = Counter(
            "coalmine_events_told",
            "Events about releases, by sink: sent, refused for good, or failed and tried again.",
            ["sink", "outcome"],
            registry=self._registry,
        )
        self._steps = Histogram(
            "coalmine_step_seconds",
            "How long the steps of releases took, by step and by how they ended.",
            ["step", "state"],
            buckets=STEP_SECONDS,
            registry=self._registry,
        )
        self._events = Counter(
            "coalmine_events",
            "Messages that were answered, by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._answered: dict[int, Counter] = {}
        self._troubles = Counter(
            "coalmine_dispatch_troubles",
            "Times an engine or the ledger failed and was tried again.",
            registry=self._registry,
        )

    def answered(self, status: int) -> None:
        """Count a message by its answer."""
        counter = self._answered.get(status)
        if counter is None:
            counter = self._answered[status] = self._events.labels(str(status))
        counter.inc()

    def troubled(self) -> None:
        """Count a failure that will be tried again."""
        self._troubles.inc()

    def told(self, sink: str, sent: int, refused: int, failed: int) -> None:
        """Count what became of events that a sink was told."""
        for outcome, number in (("sent", sent), ("refused", refused), ("failed", failed)):
            self._told.labels(sink, outcome).inc(number)

    def step_ended(self, step: str, state: str, seconds: float) -> None:
        """Count a step's time."""
        self._steps.labels(step, state).observe(seconds)

    def text(self) -> bytes:
        """Give everything in Prometheus's text format."""
        return generate_latest(self._shown)
