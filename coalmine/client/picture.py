"""How a release shows itself: live on a terminal and in a notebook, or as a table in HTML."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_html", "shown_live"]

COLUMNS = ("step", "state", "tries", "message")
Show = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def shown_live() -> Iterator[Show]:
    """Give what shows a release where the one before was shown."""
    if _is_notebook():
        yield _notebook()
        return
    from rich.live import Live  # noqa: PLC0415 - only where it is shown

    with Live(refresh_per_second=4) as live:
        yield lambda found: live.update(_as_table(found), refresh=True)


def _is_notebook() -> bool:
    """Tell whether a notebook's kernel runs this; IPython on a terminal has none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _notebook() -> Show:
    # Rich would need ipywidgets for it, and say nothing but that without them.
    ipython: Any = importlib.import_module("IPython.display")  # the notebook has it
    place = ipython.display(ipython.HTML(""), display_id=True)
    return lambda found: place.update(ipython.HTML(as_html(found)))


def _headline(found: dict[str, Any]) -> str:
    state = "held for a person" if found["held"] else found["state"]
    why = found["held"]["reason"] if found["held"] else found["reason"]
    what = f"{found['name']}:{found['version'] or 'latest'} to {found['service']}: {state}"
    return f"{what} ({why})" if why else what


def _rows(found: dict[str, Any]) -> list[list[str]]:
    return [
        [step["name"], step["state"], str(step["attempts"]), " ".join(step["message"].split())]
        for step in found["steps"]
    ]


def _as_table(found: dict[str, Any]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - only where it is shown
    from rich.text import Text  # noqa: PLC0415

    table = Table(*COLUMNS, box=None, title=Text(_headline(found)), title_justify="left")
    for row in _rows(found):
        table.add_row(*map(Text, row))
    return table


def as_html(found: dict[str, Any]) -> str:
    """Show a release as a table in HTML."""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in _rows(found)
    )
    caption = f"<caption>{escape(found['id'])} {escape(_headline(found))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
