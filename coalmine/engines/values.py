"""Which values an engine takes as they are: nothing in an event may reach it as code.

What each of them replaces in a value (measured on Tekton 1.15 and Argo 3.7; Kubeflow Pipelines runs
on Argo, and its launcher replaces its own placeholders one after the other): ``$(...)`` and ``$$``
are Tekton's variables and the kubelet's, ``{{...}}`` are Argo's. A value that ends in the beginning
of one could make one with the text behind it. The engines have no way to say such a text that would
hold on every path it may take, so it is refused, and the sender is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph

__all__ = ["check_for", "check_known"]

ANYWHERE = {
    "tekton": ("$(", "$$"),
    "argo": ("{{", "$(", "$$"),
    "kfp": ("{{", "$(", "$$", "[["),
}
AT_THE_END = {"tekton": ("$",), "argo": ("{", "$"), "kfp": ("{", "$", "[")}
NAMES = {"tekton": "Tekton", "argo": "Argo", "kfp": "Kubeflow Pipelines"}


def check_for(engine: str, values: Mapping[str, str]) -> None:
    """Check that an engine takes values as they are.

    Args:
        engine: The engine's word; every text is good for ``local``.
        values: By the parameters' names.

    Raises:
        InputError: One holds what the engine would replace, or is no text; the message names it.
    """
    anywhere, at_the_end = ANYWHERE.get(engine, ()), AT_THE_END.get(engine, ())
    for name, value in values.items():
        if "\0" in value or not (value.isascii() or _is_text(value)):
            raise InputError(
                f"{value!r} is no text: it has a zero byte or half a character",
                field=name,
                fix="send text",
            )
        if not anywhere:
            continue
        found = [part for part in anywhere if part in value]
        found += [f"{part} at its end" for part in at_the_end if value.endswith(part)]
        if found:
            raise InputError(
                f"{value!r} holds {found[0]}, which {NAMES[engine]} would replace",
                field=name,
                fix="send a value without it, or a reference to the value",
            )


def _is_text(value: str) -> bool:
    """Tell whether a value can be said in UTF-8: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_known(graph: Graph, values: Mapping[str, str]) -> None:
    """Check that a pipeline gets the parameters it takes.

    Raises:
        InputError: One is unknown or missing.
    """
    taken = {parameter.name for parameter in graph.parameters}
    required = {one.name for one in graph.parameters if one.default is None and not one.optional}
    for names, what in (
        (values.keys() - taken, "does not take"),
        (required - values.keys(), "needs"),
    ):
        if names:
            raise InputError(f"the pipeline {graph.name} {what}: {', '.join(sorted(names))}")
