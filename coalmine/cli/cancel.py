"""``coalmine cancel ID``: end a release before its own end."""

from __future__ import annotations

from coalmine.cli.approve import deciding

__all__ = ["command"]

command = deciding(
    "cancel",
    "being cancelled",
    text="""Cancel the release whose id is or begins with ID.

    One that has not begun is cancelled at once. The running step of another is ended, and its
    canary is taken away; `coalmine watch ID` shows the end.
    """,
)
"""The command."""
