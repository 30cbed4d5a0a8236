"""JSON as RFC 8259 and I-JSON have it: nothing twice, no NaN, no broken text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

__all__ = ["parse_json"]

SHALLOW = 100
"""Brackets: what has no more of them is not nested too deep for anybody."""


def parse_json(body: bytes) -> object:
    """Parse one JSON text; fractions become ``Decimal`` and keep their digits.

    Raises:
        ValueError: It is no JSON, or a reader could take it in two ways; the message says why.
    """
    try:
        text = body.decode("utf-8")
        parsed: object = _DECODER.decode(text)
        # Half of a surrogate pair can only come from an escape.
        if "\\u" in text or text.count("[") + text.count("{") > SHALLOW:
            _ENCODER.encode(parsed).encode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ArithmeticError:
        raise ValueError("it holds a number that is out of range") from None
    return parsed


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice in one object")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


# Made once: json.loads and json.dumps with options make one at every call, which takes longer than
# to read an event.
_DECODER = json.JSONDecoder(
    parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
