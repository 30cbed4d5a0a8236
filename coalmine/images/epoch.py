"""The time that files and images get, so that they are the same whenever they are made."""

from __future__ import annotations

import re

from coalmine._base.errors import InputError

__all__ = ["source_date"]


def source_date(value: str) -> int | None:
    """Read SOURCE_DATE_EPOCH: whole seconds since 1970, or None if it is not set.

    Raises:
        InputError: It is set to something else.
    """
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,11}", value):  # dates with years of more digits are none
        raise InputError(
            f"{value!r} is no whole number of seconds since 1970", field="SOURCE_DATE_EPOCH"
        )
    return int(value)
