"""Errors that a user reads: what is wrong, where, and what to do about it."""

from __future__ import annotations

__all__ = ["CoalmineError", "InputError"]


class CoalmineError(Exception):
    """The work failed; trying again may help. The command line exits with 1.

    Args:
        message: What is wrong, naming the thing (file, service, port) it is wrong with.
        fix: What the user can do about it, an imperative sentence; empty if there is nothing.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


class InputError(CoalmineError):
    """What was given is wrong; trying again cannot help. The command line exits with 2.

    Args:
        message: What is wrong.
        fix: What to give instead.
        field: The option, parameter or key that is wrong, as its writer knows it.
    """

    exit_code = 2

    def __init__(self, message: str, *, fix: str = "", field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message, fix=fix)
        self.field = field
