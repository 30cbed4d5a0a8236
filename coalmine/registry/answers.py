"""What a registry answers to an upload."""

from __future__ import annotations

import httpx

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["check_stored", "location_of"]


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
    return str(answer.request.url.join(location))


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
