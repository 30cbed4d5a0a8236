"""JSON as RFC 8259 and I-JSON have it: nothing twice, no NaN, no broken text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

__all__ = ["parse_json"]


def parse_json(body: bytes) -> object:
    """Parse one JSON text; fractions become ``Decimal`` and keep their digits.

    Raises:
        ValueError: It is no JSON, or a reader could take it in two ways; the message says why.
    """
    try:
        parsed = json.loads(
            body.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
        json.dumps(parsed, ensure_ascii=False, default=str).encode("utf-8")
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
