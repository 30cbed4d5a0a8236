"""Texts as every database takes them, so that none keeps a release from its end.

What steps write is nobody's promise: PostgreSQL refuses a zero byte, every driver half a character,
and a column of a given width what is longer. A run that ended could then never be noted as ended,
and its service would wait for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace

from coalmine.engines.protocol import TaskStatus
from coalmine.launcher.facts import Facts
from coalmine.launcher.tables import RELEASES

__all__ = ["storable_facts", "storable_task"]

NOT_TAKEN = re.compile("[\0\ud800-\udfff]")
INSTEAD = "\N{REPLACEMENT CHARACTER}"
WIDTHS: Mapping[str, int | None] = {
    name: getattr(RELEASES.c[name].type, "length", None) for name in asdict(Facts())
}


def storable_facts(facts: Facts) -> Facts:
    """Give facts as their columns take them: what is too long is cut."""
    return Facts(**{name: _text(text)[: WIDTHS[name]] for name, text in asdict(facts).items()})


def storable_task(task: TaskStatus) -> TaskStatus:
    """Give a task as its columns take it."""
    outputs = {_text(name): _text(text) for name, text in task.outputs.items()}
    return replace(task, name=_text(task.name), outputs=outputs, message=_text(task.message))


def _text(text: str) -> str:
    return NOT_TAKEN.sub(INSTEAD, text)
