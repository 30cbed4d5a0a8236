"""What a binding takes from an event, its pipeline and its parameters: a pure evaluation.

The words are those of Tekton Triggers: ``$(body.name)`` is a field of the event's data,
``$(header.ce-type)`` an attribute of the event, in whichever mode it came.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from decimal import Decimal

from coalmine.events import Event, Opaque
from coalmine.launcher.bindings import PIPELINE, Binding, BoundParameter, RefusedError

__all__ = ["REFERENCE", "bind", "pipeline_of"]

SEGMENT = r"[A-Za-z0-9_-]+(?:\[[0-9]{1,6}\])*"
REFERENCE = re.compile(rf"\$\((body|header)\.({SEGMENT}(?:\.{SEGMENT})*)\)")
KEY = re.compile(r"[A-Za-z0-9_-]+|(?<=\[)[0-9]+(?=\])")


def bind(binding: Binding, event: Event) -> dict[str, str]:
    """Give a binding's parameters their values.

    Raises:
        RefusedError: A required field is missing, a value is no text or number, or a field of data
            is asked for that is no JSON.
    """
    if isinstance(event.data, Opaque):
        _check_blind(binding, event.data)
    return {parameter.name: _bind_one(parameter, event) for parameter in binding.parameters}


def pipeline_of(binding: Binding, event: Event) -> str:
    """Give the pipeline that an event starts: the binding's, or another one that it offers.

    Raises:
        RefusedError: The event asks for one that is not on offer.
    """
    asked = event.extensions.get(PIPELINE) or binding.pipeline
    offered = (binding.pipeline, *binding.pipelines)
    if asked not in offered:
        raise RefusedError(
            f"is {asked!r}, which the binding {binding.name} does not offer",
            field=PIPELINE,
            fix=f"ask for one of: {', '.join(offered)}; or add it to the binding's pipelines",
        )
    return asked


def _check_blind(binding: Binding, data: Opaque) -> None:
    """See that no value looks into data that cannot be looked into, whatever its default is."""
    for parameter in binding.parameters:
        for root, path in REFERENCE.findall(f"{parameter.value} {parameter.default or ''}"):
            if root == "body":
                raise RefusedError(
                    f"is looked for in the data by the binding {binding.name}, "
                    f"and the data is {data.kind}, not JSON",
                    field=path,
                    fix="send JSON and say so: application/json; or bind attributes: "
                    "$(header.ce-subject)",
                )


def _bind_one(parameter: BoundParameter, event: Event) -> str:
    found = _fill(parameter.value, event)
    if found is None and parameter.default is not None:
        found = _fill(parameter.default, event)
    if found is None:
        raise _required(_missing(parameter, event))
    return found


def _required(path: str) -> RefusedError:
    where = "data" if path.startswith("body.") else "attributes"
    name = path.partition(".")[2]
    return RefusedError(
        f"is required in the event's {where}", field=name, fix=f"send {name} as text or a number"
    )


def _missing(parameter: BoundParameter, event: Event) -> str:
    """Find the reference that has no value."""
    template = parameter.value if parameter.default is None else parameter.default
    references = (one for one in _parts(template) if isinstance(one, tuple))
    return next(".".join(one) for one in references if _look_up(*one, event) is None)


def _fill(template: str, event: Event) -> str | None:
    """Put an event's values in the place of references; None if one is missing."""
    parts = _parts(template)
    if len(parts) == 1:  # as most are
        [one] = parts
        return one if isinstance(one, str) else _look_up(*one, event)
    found = [one if isinstance(one, str) else _look_up(*one, event) for one in parts]
    texts = [one for one in found if one is not None]
    return "".join(texts) if len(texts) == len(found) else None


@functools.lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[str | tuple[str, str], ...]:
    """Split a text with references into its texts and its references, each root and path."""
    parts: list[str | tuple[str, str]] = []
    end = 0
    for found in REFERENCE.finditer(template):
        parts += [template[end : found.start()], (found[1], found[2])]
        end = found.end()
    return tuple(one for one in [*parts, template[end:]] if one)


def _look_up(root: str, path: str, event: Event) -> str | None:
    found = _header(path, event) if root == "header" else _field(path, event.data)
    return found if found is None or isinstance(found, str) else _render(path, found)


def _header(name: str, event: Event) -> object:
    key = name.lower()
    if key == "content-type":
        return event.datacontenttype or None
    return event.attributes().get(key.removeprefix("ce-"))


def _field(path: str, data: object) -> object:
    keys = _keys(path)
    if len(keys) == 1 and isinstance(data, Mapping):  # as it is in most events
        return data.get(path)
    for key in keys:
        if isinstance(data, list) and key.isdigit():
            data = data[int(key)] if int(key) < len(data) else None
        elif isinstance(data, Mapping):
            data = data.get(key)
        else:
            return None
    return data


@functools.lru_cache(maxsize=1024)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(KEY.findall(path))


def _render(path: str, value: object) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    kind = {bool: "a boolean", dict: "an object", list: "a list"}.get(type(value), "no text")
    raise RefusedError(
        f"is {kind}, not text or a number", field=path, fix=f"send {path} as text or a number"
    )
