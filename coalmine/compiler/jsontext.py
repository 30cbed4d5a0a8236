"""Values as text, to the byte as the KFP backend writes them.

Its launcher writes a list or a dict with Go's ``json.Marshal`` over ``structpb`` values: no blanks,
keys in order, every number a double, and the characters that HTML knows escaped.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

__all__ = ["is_json", "json_text", "number_text"]

HTML = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
SMALLEST_PLAIN = 1e-6
LARGEST_PLAIN = 1e21


def number_text(value: float) -> str:
    """Write a number in full, without an exponent: Go's ``FormatFloat(value, 'f', -1, 64)``."""
    if isinstance(value, int):
        return str(value)
    if value != value:  # noqa: PLR0124 - only NaN is not itself
        return "NaN"
    if value - value != 0:
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """Write a value as JSON.

    Raises:
        ValueError: It holds something that JSON has no word for.
    """
    match value:
        case dict():
            pairs = (f"{json_text(str(key))}:{json_text(value[key])}" for key in sorted(value))
            return f"{{{','.join(pairs)}}}"
        case list():
            return f"[{','.join(json_text(item) for item in value)}]"
        case bool() | None:
            return json.dumps(value)
        case int() | float():
            return _number(float(value))
        case str():
            return json.dumps(value, ensure_ascii=False).translate(HTML)
        case _:
            raise ValueError(f"{value!r} is no JSON")


def is_json(value: object) -> bool:
    """Tell whether a value can be written as JSON by ``json_text``."""
    try:
        json_text(value)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _number(value: float) -> str:
    if value - value != 0:
        raise ValueError(f"{value} is no JSON")
    if value == 0 or SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        return number_text(value)
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"
