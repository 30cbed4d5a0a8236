"""Literals that mean themselves: Tekton replaces ``$(...)`` wherever it stands."""

from __future__ import annotations

import re

from coalmine._base.errors import InputError
from coalmine.compiler.manifest import Place

__all__ = ["VARIABLE", "exact", "plain"]

VARIABLE = re.compile(
    r"\$\((params|results|tasks|context|workspaces|steps?|inputs|outputs|finally|artifacts"
    r"|credentials|resources|sidecars)\b"
)


def plain(text: str, where: Place) -> str:
    """Take a literal as it is.

    Raises:
        InputError: Tekton would take a part of it for a variable.
    """
    if match := VARIABLE.search(text):
        raise InputError(
            f"{where}: the text {match[0]}... would be replaced by Tekton",
            fix="pass it in a file or by another name; Tekton cannot quote it",
        )
    return text


def exact(text: str, where: Place) -> str:
    """Take a text only if it means itself wherever it ends up: on a command line or compared."""
    if "$$" in text or "$(" in text:
        raise InputError(
            f"{where}: {text!r} holds $$ or $(, which Tekton and Kubernetes replace",
            fix="use a value without them",
        )
    return text
