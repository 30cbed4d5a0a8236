"""The header that shows a bearer token."""

from __future__ import annotations

from coalmine._base.errors import InputError

__all__ = ["bearer"]


def bearer(token: str) -> dict[str, str]:
    """Make the header; none for an empty token.

    A token is checked here, since HTTP libraries put what they cannot send into their errors, and
    those are logged.

    Raises:
        InputError: It cannot stand in a header; the message does not hold it.
    """
    shown = token.strip()  # files and Secrets often end in a line break
    if not shown:
        return {}
    if not shown.isascii() or not shown.isprintable() or " " in shown:
        raise InputError(
            "the bearer token has characters that a header cannot carry",
            fix="give one line of printable ASCII without blanks",
        )
    return {"authorization": f"Bearer {shown}"}
