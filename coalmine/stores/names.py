"""What a bento's name and version may look like, and how many are shown in a message."""

from __future__ import annotations

import re

from coalmine._base.errors import InputError

__all__ = ["check_name", "check_version", "instead", "is_latest", "listed", "parse_tag"]

_PART = re.compile(r"[a-z0-9]([-._a-z0-9]{0,61}[a-z0-9])?")
_SHOWN = 10


def is_latest(version: str) -> bool:
    """Tell whether a version means the newest."""
    return version in {"", "latest"}


def check_name(name: str) -> None:
    """Raise InputError unless it is a name as BentoML has them."""
    _check(name, "name")


def check_version(version: str) -> None:
    """Raise InputError unless it is a version as BentoML has them."""
    _check(version, "version")


def parse_tag(tag: str) -> tuple[str, str]:
    """Take ``name:version`` apart; without a version it is the empty string.

    Raises:
        InputError: A part is not what BentoML has.
    """
    name, _, version = tag.partition(":")
    check_name(name)
    if not is_latest(version):
        check_version(version)
    return name, version


def listed(names: list[str]) -> str:
    """Join the last few names for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[-_SHOWN:]) + more


def instead(names: list[str]) -> str:
    """Say what to release in place of a name that a store does not hold."""
    if names:
        return f"release one of: {listed(names)}"
    return "the store is empty: fill it, or name the store that holds it"


def _check(text: str, field: str) -> None:
    if not _PART.fullmatch(text):
        raise InputError(
            f"{text!r} is no {field} of a bento",
            field=field,
            fix="use lowercase letters, digits, '-', '.' and '_', 63 at most",
        )
