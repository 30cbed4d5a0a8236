"""Choose a serving backend by its name."""

from __future__ import annotations

from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.serving.local import LocalServing, Unpack
from coalmine.serving.protocol import ServingBackend

__all__ = ["open_backend"]


def open_backend(name: str, *, state: Path, unpack: Unpack) -> ServingBackend:
    """Open a serving backend.

    Args:
        name: ``local``, or empty for it.
        state: The state folder.
        unpack: Unpacks an image.

    Raises:
        InputError: There is no such backend.
    """
    if name in ("", "local"):
        return LocalServing.of(state, unpack)
    raise InputError(f"{name!r} is no serving backend", field="serving", fix="give: local")
