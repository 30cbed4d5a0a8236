"""The graph as a Mermaid flowchart, as GitHub and GitLab draw it within Markdown.

Texts are quoted, and within quotes Mermaid knows ``#NUMBER;`` as a character, so that whatever
could be read as its own language is written that way. Nodes are numbered, because a task may have
a name that is a word of Mermaid's, such as ``end``.
"""

from __future__ import annotations

import re

from coalmine.compiler.graph import Graph
from coalmine.compiler.views.edges import Edge, edges, say

__all__ = ["to_mermaid"]

UNSAFE = re.compile(r"[^A-Za-z0-9 _.,:=!/()-]")
START = "start"


def to_mermaid(graph: Graph) -> str:
    """Write the graph as Mermaid, with a final newline."""
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    ids = {task.name: f"t{number}" for number, task in enumerate(tasks, 1)}
    found = edges(graph)
    lines = ["flowchart TD", f'{START}(["{_escaped(graph.name)}"])']
    lines += [f'{ids[task.name]}["{_escaped(task.name)}"]' for task in graph.tasks]
    if graph.exit_task:
        lines.append(f'{ids[graph.exit_task.name]}(["{_escaped(graph.exit_task.name)}"])')
    lines += [_edge(edge, ids) for edge in found]
    return "".join(f"{'  ' if number else ''}{line}\n" for number, line in enumerate(lines))


def _edge(edge: Edge, ids: dict[str, str]) -> str:
    source = START if edge.source is None else ids[edge.source]
    if edge.always:
        return f'{source} -. "always" .-> {ids[edge.target]}'
    said = " and ".join(say(item) for item in edge.conditions)
    arrow = f'-- "{_escaped(said)}" -->' if said else "-->"
    return f"{source} {arrow} {ids[edge.target]}"


def _escaped(text: str) -> str:
    return UNSAFE.sub(lambda match: f"#{ord(match[0])};", text)
