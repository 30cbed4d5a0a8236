"""What all benchmarks share: repeat, take medians, say how noisy it was."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Timing", "interleaved", "print_head", "print_timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Repeated measurements of one thing, in seconds."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """The range from the lowest to the highest, as percent of the median."""
        low, high = min(self.seconds), max(self.seconds)
        return f"{100 * (low / self.median - 1):+.0f}..{100 * (high / self.median - 1):+.0f} %"


def interleaved(rounds: int, **things: Callable[[], float | None]) -> dict[str, Timing]:
    """Measure several things in turn, so that noise on the machine meets all of them.

    Args:
        rounds: How often each is done; one more round before does not count.
        things: What to do; a thing that returns seconds has measured itself.
    """
    taken: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds + 1):
        for name, thing in things.items():
            began = time.perf_counter()
            own = thing()
            seconds = time.perf_counter() - began if own is None else own
            if number:
                taken[name].append(seconds)
    return {name: Timing(name, tuple(seconds)) for name, seconds in taken.items()}


def print_head(title: str) -> None:
    print(f"\n## {title}")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def print_timing(timings: Sequence[Timing], *, floor: str, per: int = 1) -> None:
    """Print medians, each beside the floor that was measured in the same run."""
    base = next(timing for timing in timings if timing.name == floor).median
    for timing in timings:
        print(
            f"  {timing.name:34} {1000 * timing.median / per:10.2f} ms   "
            f"x{timing.median / base:6.2f} of {floor}   noise {timing.spread}"
        )
