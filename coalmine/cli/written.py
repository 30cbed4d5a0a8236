"""What a command makes: to stdout, or to a file that is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import click

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic

__all__ = ["write_output"]


def write_output(text: str, output: Path | None) -> None:
    """Print a text, or write it to a file.

    Raises:
        CoalmineError: The file cannot be written; what was there is untouched.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomic(output, text)
    except OSError as error:
        raise CoalmineError(
            f"{output} cannot be written: {error.strerror or error}", fix="give another --output"
        ) from None
