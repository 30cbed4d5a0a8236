"""The graph as SVG: a picture that needs no program but a browser."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from coalmine.compiler.graph import Graph
from coalmine.compiler.views.edges import Edge, edges, say
from coalmine.compiler.views.layers import Placed, Point, place

__all__ = ["to_svg"]

START = "\nstart"
CHARACTER = 7.3
"""Width of a character in pixels, of the font and size below."""
FONT = "12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
BOX = 30.0
LINE = 15.0
GAP = 34.0
PADDING = 14.0
MARGIN = 20.0
LONGEST = 60
NO_XML = re.compile(r"[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_svg(graph: Graph) -> str:
    """Draw the graph, with a final newline. Conditions stand above the task they lead to."""
    found = edges(graph)
    tasks = [task.name for task in (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))]
    labels = {START: graph.name} | {name: name for name in tasks}
    said = _said(found)
    widths = {name: _width([text, *said[name]]) for name, text in labels.items()}
    placed = place([(edge.source or START, edge.target) for edge in found], widths)
    tops = _tops(placed, said)
    size = (placed.right - placed.left + 2 * MARGIN, tops[-1] + BOX + MARGIN)
    picture = _Picture(_svg(graph, size), placed, tops)
    for edge in found:
        picture.edge(edge)
    last = graph.exit_task.name if graph.exit_task else ""
    for name, text in labels.items():
        picture.node(name, text, said[name], round_ends=name in {START, last})
    ET.indent(picture.svg)
    return ET.tostring(picture.svg, encoding="unicode") + "\n"


def _said(found: Sequence[Edge]) -> defaultdict[str, list[str]]:
    """Collect the lines above each task: its conditions, and whether it runs come what may."""
    said: defaultdict[str, list[str]] = defaultdict(list)
    for edge in found:
        lines = [_short(say(item)) for item in edge.conditions] + ["always"] * edge.always
        said[edge.target] += [line for line in lines if line not in said[edge.target]]
    return said


def _short(text: str) -> str:
    clean = NO_XML.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _width(texts: Sequence[str]) -> float:
    return max(len(text) for text in texts) * CHARACTER + 2 * PADDING + MARGIN


def _tops(placed: Placed, said: Mapping[str, Sequence[str]]) -> list[float]:
    """Work out where the boxes of each layer begin, leaving room for the lines above them."""
    lines = [0] * placed.layers
    for name, (_, layer) in placed.nodes.items():
        lines[layer] = max(lines[layer], len(said.get(name, ())))
    tops = [MARGIN]
    for count in lines[1:]:
        tops.append(tops[-1] + BOX + GAP + count * LINE)
    return tops


def _svg(graph: Graph, size: tuple[float, float]) -> ET.Element:
    width, height = (f"{number:.0f}" for number in size)
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        style=f"font: {FONT}",
    )
    ET.SubElement(svg, "title").text = f"The pipeline {graph.name}"
    ET.SubElement(svg, "rect", width="100%", height="100%", fill="#ffffff")
    arrow = {"viewBox": "0 0 8 8", "refX": "7", "refY": "4", "orient": "auto"}
    arrow |= {"id": "arrow", "markerWidth": "8", "markerHeight": "8"}
    marker = ET.SubElement(ET.SubElement(svg, "defs"), "marker", arrow)
    ET.SubElement(marker, "path", d="M0 0 8 4 0 8z", fill="#57606a")
    return svg


@dataclass(frozen=True, slots=True)
class _Picture:
    svg: ET.Element
    placed: Placed
    tops: Sequence[float]

    def edge(self, edge: Edge) -> None:
        way = [self._at(point) for point in self.placed.ways[edge.source or START, edge.target]]
        (x, y), *rest = way
        path = [f"M{x:.0f} {y + BOX:.0f}"]
        for (from_x, from_y), (to_x, to_y) in pairwise(way):
            begin = from_y + BOX
            middle = (begin + to_y) / 2
            path.append(f"C{from_x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}")
            if (to_x, to_y) != rest[-1]:
                path.append(f"V{to_y + BOX:.0f}")
        line = {"d": " ".join(path), "fill": "none", "stroke": "#57606a"}
        line |= {"marker-end": "url(#arrow)"} | ({"stroke-dasharray": "4 3"} if edge.always else {})
        ET.SubElement(self.svg, "path", line)

    def node(self, name: str, text: str, above: Sequence[str], *, round_ends: bool) -> None:
        x, y = self._at(self.placed.nodes[name])
        width = len(text) * CHARACTER + 2 * PADDING
        ET.SubElement(
            self.svg,
            "rect",
            x=f"{x - width / 2:.0f}",
            y=f"{y:.0f}",
            width=f"{width:.0f}",
            height=f"{BOX:.0f}",
            rx=f"{BOX / 2:.0f}" if round_ends else "4",
            fill="#ddf4ff" if round_ends else "#f6f8fa",
            stroke="#57606a",
        )
        _write(self.svg, x, y + BOX / 2 + 4, text, fill="#1f2328")
        for number, line in enumerate(reversed(above)):
            _write(self.svg, x, y - 12 - number * LINE, line, fill="#0550ae")

    def _at(self, point: Point) -> tuple[float, float]:
        x, layer = point
        return x - self.placed.left + MARGIN, self.tops[layer]


def _write(svg: ET.Element, x: float, y: float, text: str, *, fill: str) -> None:
    place = {"x": f"{x:.0f}", "y": f"{y:.0f}", "text-anchor": "middle", "fill": fill}
    # A white edge keeps the words readable where a line crosses them.
    halo = {"stroke": "#ffffff", "stroke-width": "4", "paint-order": "stroke"}
    ET.SubElement(svg, "text", place | halo).text = text
