"""Where the boxes of a drawn graph go: in layers, each below what it follows.

The layers come from the longest way to a node, the order within one from the mean place of what is
above (the barycentre of Sugiyama's method), and an edge over several layers gets a place in each
of them, so that it runs between the boxes and not through them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Placed", "place"]

SWEEPS = 4
BEND = 16.0
"""Width that an edge takes where it passes a layer."""

Point = tuple[float, int]
"""The middle of a place: its x in pixels and the number of its layer."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where everything goes.

    Attributes:
        nodes: For each node its place.
        ways: For each edge the places it runs through, its ends included.
        layers: How many there are.
        left: The lowest x that anything reaches.
        right: The highest.
    """

    nodes: Mapping[str, Point]
    ways: Mapping[tuple[str, str], Sequence[Point]]
    layers: int
    left: float
    right: float


def place(edges: Sequence[tuple[str, str]], widths: Mapping[str, float]) -> Placed:
    """Place the nodes of a graph without circles.

    Args:
        edges: From and to; every node is in ``widths``.
        widths: The width of each node in pixels, with its margin; a node stands behind all those
            that it follows.
    """
    level = _levels(edges, widths)
    chains = {edge: _chain(edge, level) for edge in edges}
    all_widths = dict(widths)
    layers: list[list[str]] = [[] for _ in range(max(level.values(), default=0) + 1)]
    for name, number in level.items():
        layers[number].append(name)
    links: list[tuple[str, str]] = []
    for chain in chains.values():
        for offset, name in enumerate(chain[1:-1], level[chain[0]] + 1):
            layers[offset].append(name)
            all_widths[name] = BEND
        links += pairwise(chain)
    x = _columns(_ordered(layers, links), links, all_widths)
    number_of = {name: number for number, layer in enumerate(layers) for name in layer}
    return Placed(
        nodes={name: (x[name], level[name]) for name in widths},
        ways={
            edge: [(x[name], number_of[name]) for name in chain] for edge, chain in chains.items()
        },
        layers=len(layers),
        left=min(x[name] - all_widths[name] / 2 for name in x),
        right=max(x[name] + all_widths[name] / 2 for name in x),
    )


def _levels(edges: Iterable[tuple[str, str]], nodes: Iterable[str]) -> dict[str, int]:
    before: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        before[target].append(source)
    level: dict[str, int] = {}
    for name in nodes:
        level[name] = 1 + max((level[other] for other in before[name]), default=-1)
    return level


def _chain(edge: tuple[str, str], level: Mapping[str, int]) -> list[str]:
    source, target = edge
    bends = [f"{source}\n{target}\n{n}" for n in range(level[source] + 1, level[target])]
    return [source, *bends, target]


def _ordered(layers: list[list[str]], links: Iterable[tuple[str, str]]) -> list[list[str]]:
    above: dict[str, list[str]] = defaultdict(list)
    below: dict[str, list[str]] = defaultdict(list)
    for source, target in links:
        above[target].append(source)
        below[source].append(target)
    for sweep in range(SWEEPS):
        around = below if sweep % 2 else above
        rank: dict[str, float] = {}
        for layer in reversed(layers) if sweep % 2 else layers:
            here = {name: float(number) for number, name in enumerate(layer)}
            layer.sort(key=lambda name: _mean(around[name], rank, here[name]))
            rank |= {name: number / len(layer) for number, name in enumerate(layer)}
    return layers


def _columns(
    layers: Sequence[Sequence[str]], links: Iterable[tuple[str, str]], widths: Mapping[str, float]
) -> dict[str, float]:
    above: dict[str, list[str]] = defaultdict(list)
    for source, target in links:
        above[target].append(source)
    x: dict[str, float] = {}
    for layer in layers:
        wanted = [_mean(above[name], x, 0.0) for name in layer]
        got: list[float] = []
        for number, name in enumerate(layer):
            least = wanted[number]
            if number:
                gap = (widths[layer[number - 1]] + widths[name]) / 2
                least = max(least, got[-1] + gap)
            got.append(least)
        shift = sum(a - b for a, b in zip(got, wanted, strict=True)) / len(layer)
        x |= {name: place - shift for name, place in zip(layer, got, strict=True)}
    return x


def _mean(names: Sequence[str], known: Mapping[str, float], otherwise: float) -> float:
    found = [known[name] for name in names if name in known]
    return sum(found) / len(found) if found else otherwise
