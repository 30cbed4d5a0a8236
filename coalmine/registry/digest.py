"""Names of contents: ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re

__all__ = ["digest_of", "is_digest"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: bytes) -> str:
    """Name a content: ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_digest(text: object) -> bool:
    """Tell whether something is ``sha256:`` and 64 hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None
