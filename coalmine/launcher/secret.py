"""Secrets from files or the environment: several at a time, so that they can be rotated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.strictfile import read_text

__all__ = ["Secret", "open_secret"]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is, never what it is.

    Attributes:
        file: A file with one secret a line; read again when it changes.
        env: Else the environment variable that holds it.
        field: Where it is named, for error messages.
    """

    file: Path | None = None
    env: str = ""
    field: str = field(default="", compare=False)


def open_secret(
    secret: Secret,
    check: Callable[[str], bytes],
    environ: Mapping[str, str] = os.environ,
) -> Reloaded[tuple[bytes, ...]]:
    """Read a secret, now and whenever its file changes.

    Args:
        secret: Where it is.
        check: Makes a line what is compared with; raises ValueError if it is not good.
        environ: The environment.

    Raises:
        InputError: It is not there or not good; the message does not hold it.
    """

    def load() -> tuple[bytes, ...]:
        if secret.file:
            text = read_text(secret.file, "the secret's file")
        elif secret.env in environ:
            text = environ[secret.env]
        else:
            raise InputError(f"the environment has no {secret.env}", field=secret.field)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        try:
            return tuple(check(line) for line in lines)
        except ValueError as error:
            raise InputError(f"a secret is not good: {error}", field=secret.field) from None

    paths = [secret.file] if secret.file else []
    return Reloaded(load, paths, f"the secret of {secret.field}")
