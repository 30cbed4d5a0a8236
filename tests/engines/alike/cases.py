"""What a case is: a pipeline, the arguments of each of its runs, and where kfp.local goes wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl


@dataclass(frozen=True)
class Case:
    """One pipeline for one feature.

    Attributes:
        pipeline: What the SDK made of it.
        runs: The arguments of each run.
        apart: The first words of the row in docs/compile-targets.md that tells why kfp.local
            gives something else; empty where it gives the same.
        gives: Where it goes wrong, what the tasks of each run give.
    """

    pipeline: Any
    runs: tuple[Mapping[str, Any], ...]
    apart: str
    gives: tuple[tuple[Any, ...], ...]


CASES: dict[str, Case] = {}


def case(
    *runs: Mapping[str, Any], apart: str = "", gives: tuple[tuple[Any, ...], ...] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """Make a pipeline of a function, and run it with each set of arguments."""

    def keep(function: Callable[..., Any]) -> Any:
        pipeline = dsl.pipeline(function)
        CASES[function.__name__] = Case(pipeline, runs or ({},), apart, gives)
        return pipeline

    return keep
