"""Tells a launcher that a canary is held, and asks what a person decided about it."""

from __future__ import annotations

import logging
import os
from functools import partial
from urllib.parse import quote

import httpx

from coalmine._base.bearer import bearer
from coalmine._base.errors import InputError
from coalmine.gate.hold import Answer, Person

__all__ = ["person_behind"]

logger = logging.getLogger(__name__)
TIMEOUT = 10.0
TOKEN = "COALMINE_TOKEN"  # noqa: S105 - the variable's name


def person_behind(launcher_url: str, release_id: str) -> Person | None:
    """Give what asks for the answer; None where no launcher is known.

    Raises:
        InputError: The URL is none.
    """
    if not launcher_url:
        return None
    try:
        url = httpx.URL(f"{launcher_url.rstrip('/')}/releases/{quote(release_id, safe='')}/hold")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError(
            f"{launcher_url!r} is no URL of a launcher",
            field="--launcher-url",
            fix="give a URL such as http://coalmine-launcher:8080",
        )
    return partial(_ask, url)


def _ask(url: httpx.URL, reason: str) -> Answer | None:
    """Ask once; a launcher that is away has not answered yet."""
    try:
        headers = bearer(os.environ.get(TOKEN, ""))
        response = httpx.post(url, headers=headers, json={"reason": reason}, timeout=TIMEOUT)
        response.raise_for_status()
        answer = response.json().get("answer")
        return Answer(answer) if answer else None
    except (httpx.HTTPError, InputError, ValueError, AttributeError) as error:
        logger.warning("the launcher cannot be asked at %s: %s", url.host, error)
        return None
