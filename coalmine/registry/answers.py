"""What a registry answers to an upload."""

from __future__ import annotations

import httpx

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["check_stored", "joined", "location_of"]


def location_of(answer: httpx.Response) -> str:
    """Say where an upload goes on.

    Raises:
        InputError: The answer does not say.
    """
    location = answer.headers.get("Location", "")
    if not location:
        raise InputError(
            f"{answer.request.url.host} gives no place to upload to: is it a registry?"
        )
    return joined(answer, location)


def joined(answer: httpx.Response, location: str) -> str:
    """Make a place that an answer names a whole URL.

    Raises:
        InputError: It names none.
    """
    try:
        return str(answer.request.url.join(location))
    except httpx.InvalidURL as error:
        raise InputError(
            f"{answer.request.url.host} sends to what is no URL: {error}",
            fix="see the registry and what lies between",
        ) from None


def check_stored(answer: httpx.Response, digest: str) -> None:
    """See that what was stored is what was sent.

    Raises:
        CoalmineError: It is something else.
    """
    got = answer.headers.get("Docker-Content-Digest", digest)
    if got != digest:
        raise CoalmineError(
            f"the registry stored {got} where {digest} was sent",
            fix="see the registry and what lies between",
        )
