"""``coalmine reject ID``: roll a canary back that is held."""

from __future__ import annotations

from coalmine.cli.approve import deciding

__all__ = ["command"]

command = deciding(
    "reject",
    "rejected",
    text="""Reject the running release whose id is or begins with ID.

    Its canary is rolled back when its gate holds it for a person, now or later. An answer stands;
    `coalmine cancel ID` ends the release at once.
    """,
)
"""The command."""
