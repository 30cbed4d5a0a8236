"""Filters of bindings, in the Common Expression Language (CEL).

``body`` is the event's data and ``header`` its attributes, as in parameters. ``header`` has the two
functions that Tekton Triggers gives it: ``header.match(name, value)`` and
``header.canonical(name)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from coalmine._base.errors import InputError
from coalmine.events import Event, Opaque

__all__ = ["CelFilter", "compile_filter"]

MOST_CHARACTERS = 4096
FUNCTIONS = frozenset(
    [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "bool",
        "type",
        "dyn",
        "duration",
        "timestamp",
        "getFullYear",
        "getMonth",
        "getDayOfMonth",
        "getDate",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "match",
        "canonical",
    ]
)
"""Those of the language's definition, and Tekton Triggers' two."""
NAMES = {"body", "header"}
LOOP = re.compile(r"\.(?:all|exists|exists_one|map|filter)\s*\($")
LOOP_NAME = re.compile(r"\.(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
STRING = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""")


class CelFilter:
    """A compiled filter.

    Args:
        text: The expression.
        program: The library's program.
    """

    def __init__(self, text: str, program: Any) -> None:  # noqa: ANN401 - the library is untyped
        self._text = text
        self._program = program
        self._looks_into_data = "body" in program.variables()

    def __repr__(self) -> str:
        return f"CelFilter({self._text!r})"

    def refuses(self, event: Event) -> str:
        """Say why an event is not taken; empty if it is."""
        if self._looks_into_data and isinstance(event.data, Opaque):
            return f"its filter looks into the data, which is {event.data.kind}, not JSON"
        try:
            result = self._program.execute(_context(event))
        except KeyError as error:
            return f"its filter needs {error.args[0]!r}, which the event has not"
        except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            return f"its filter fails at this event: {error}"
        if not isinstance(result, bool):
            return "its filter gives no boolean"
        return "" if result else f"its filter is false: {self._text}"


def compile_filter(text: str) -> CelFilter:
    """Compile an expression.

    Loops (``all``, ``exists``, ``exists_one``, ``map``, ``filter``) may not stand in one another:
    so a filter takes no longer than its length times that of the event.

    Raises:
        InputError: It is no CEL, uses other names than ``body`` and ``header``, or is too long.
    """
    import cel  # noqa: PLC0415 - takes a second, and few bindings have a filter

    if len(text) > MOST_CHARACTERS:
        raise InputError(f"has more than {MOST_CHARACTERS} characters", fix="write a shorter one")
    if _nested(text):
        raise InputError("has a loop in a loop", fix="write it without: all, exists, map, filter")
    try:
        program = cel.compile(text)
    except ValueError as error:
        said = " ".join(str(error).split("|")[0].split())
        raise InputError(f"is no CEL: {said}", fix="see docs/bindings.md") from None
    looped = set(LOOP_NAME.findall(text))
    unknown = sorted(set(program.variables()) - NAMES - looped)
    if unknown:
        raise InputError(
            f"uses {', '.join(unknown)}, which is not there", fix="use body and header"
        )
    # Operators have names that are no words.
    functions = {name for name in program.functions() if name.isalnum()}
    if missing := sorted(functions - FUNCTIONS):
        raise InputError(
            f"uses the function {', '.join(missing)}, which is not there",
            fix="see docs/bindings.md",
        )
    return CelFilter(text, program)


def _nested(text: str) -> bool:
    """Tell whether a loop's parentheses hold another loop."""
    bare = STRING.sub('""', text)
    loops: list[bool] = []
    for place, character in enumerate(bare):
        if character == "(":
            is_loop = bool(LOOP.search(bare[: place + 1]))
            if is_loop and any(loops):
                return True
            loops.append(is_loop)
        elif character == ")" and loops:
            loops.pop()
    return False


def _context(event: Event) -> Any:  # noqa: ANN401 - the library is untyped
    import cel  # noqa: PLC0415 - loaded when the filter was compiled

    attributes = event.attributes()
    header = {f"ce-{name}": value for name, value in attributes.items()}
    if event.datacontenttype:
        header["content-type"] = event.datacontenttype
    context = cel.Context()
    data = None if isinstance(event.data, Opaque) else _plain(event.data)
    context.add_variable("body", data)
    context.add_variable("header", header)
    context.add_function("match", _match)
    context.add_function("canonical", _canonical)
    return context


def _match(header: Mapping[str, str], name: str, value: str) -> bool:
    return _canonical(header, name) == value


def _canonical(header: Mapping[str, str], name: str) -> str:
    return header.get(name.lower(), "")


def _plain(data: object) -> object:
    if isinstance(data, Decimal):
        return float(data)
    if isinstance(data, Mapping):
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data
