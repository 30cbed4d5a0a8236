"""Patterns of texts, in bindings and in the access file."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

__all__ = ["matches"]


def matches(text: str, patterns: Collection[str]) -> bool:
    """Tell whether a text is as one of the patterns says, in which ``*`` is any text."""
    return text in patterns or any(_compiled(one).fullmatch(text) for one in patterns)


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Only '*' is special: the brackets and question marks of URIs stand for themselves.
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
