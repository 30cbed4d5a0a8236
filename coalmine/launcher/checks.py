"""What the values of a release must look like before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coalmine.launcher.bindings import RefusedError

__all__ = ["check_values"]

TAG = re.compile(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?")
TAG_LIMIT = 63
SERVICE = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
"""No dots, unlike a bento: a service's name begins those of its revisions in the proxy's metrics,
which are cut at the first dot."""
SERVICE_LIMIT = 46
"""With the release's id behind it, a revision's name stays a legal name everywhere (63)."""
VALUE_LIMIT = 4096
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_values(values: Mapping[str, str]) -> None:
    """Check every value, and those whose meaning is known by their name.

    Raises:
        RefusedError: One is wrong; the message names it.
    """
    for name, value in values.items():
        # Most are short and plain, which is quickly seen.
        if not (value.isascii() and value.isprintable() and len(value) <= VALUE_LIMIT):
            _check_any(name, value)
    if "name" in values:
        _check_tag("name", values["name"], TAG_LIMIT)
    _check_service(values["service"], values.get("name", ""))
    if values.get("version"):
        _check_tag("version", values["version"], TAG_LIMIT)
    if "percent" in values:
        _check_percent(values["percent"])


def _check_any(name: str, value: str) -> None:
    if CONTROL.search(value):
        raise RefusedError("holds a control character", field=name, fix="send one line of text")
    if len(value.encode()) > VALUE_LIMIT:
        raise RefusedError(
            f"has more than {VALUE_LIMIT} bytes", field=name, fix="send a reference to the value"
        )


def _check_tag(name: str, value: str, limit: int) -> None:
    if not TAG.fullmatch(value) or len(value) > limit:
        raise RefusedError(
            f"{value!r} is no legal {name}",
            field=name,
            fix=f"use at most {limit} of a-z, 0-9, '-', '_' and '.', a letter or digit at the ends",
        )


def _check_service(value: str, name: str) -> None:
    if not SERVICE.fullmatch(value) or len(value) > SERVICE_LIMIT:
        why = "; it is the bento's name, since no service is given" if value == name else ""
        raise RefusedError(
            f"{value!r} is no legal service{why}",
            field="service",
            fix=f"give a service of at most {SERVICE_LIMIT} of a-z, 0-9, '-' and '_', "
            "a letter or digit at the ends",
        )


def _check_percent(value: str) -> None:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 99):  # noqa: PLR2004
        raise RefusedError(
            f"{value!r} is no share for a canary", field="percent", fix="send a whole number, 1-99"
        )
