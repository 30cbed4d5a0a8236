"""Values as text, to the byte as the KFP backend writes them.

Its launcher writes a list or a dict with Go's ``json.Marshal`` over ``structpb`` values: no blanks,
keys in order, every number a double, and the characters that HTML knows escaped. The code is that
which goes into manifests.
"""

from __future__ import annotations

from coalmine.compiler.bootstrap import json_text, number_text

__all__ = ["is_json", "json_text", "number_text"]


def is_json(value: object) -> bool:
    """Tell whether a value can be written as JSON by ``json_text``."""
    try:
        json_text(value)
    except (ValueError, TypeError, RecursionError):
        return False
    return True
