"""Lists that a registry gives page by page.

Source of the rules: distribution specification 1.1, "Listing Tags"; RFC 8288 for the link to the
next page. The list of all repositories is Docker's, not OCI's; many registries have none.
"""

from __future__ import annotations

import json
import re

import httpx

from coalmine._base.errors import CoalmineError
from coalmine.registry.answers import joined
from coalmine.registry.session import Ask, Session

__all__ = ["list_pages"]

_OK, _REFUSALS = 200, frozenset({401, 403, 404, 405})
_MOST_PAGES = 1000
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


def list_pages(session: Session, first: str, key: str, scopes: tuple[str, ...]) -> list[str] | None:
    """List all names; None if the registry has no such list, or does not show it to us.

    Args:
        session: The registry.
        first: Path of the first page.
        key: Where the names are in an answer.
        scopes: What a token must allow.

    Raises:
        CoalmineError: It cannot be asked, its answer cannot be read, or the pages do not end.
    """
    found: list[str] = []
    url = first
    for _ in range(_MOST_PAGES):
        ask = Ask("GET", url, _REFUSALS | {_OK}, scopes, {"Accept": "application/json"})
        answer = session.send(ask)
        if answer.status_code != _OK:
            return None
        found += _names(answer, key)
        following = _NEXT.search(answer.headers.get("Link", ""))
        if following is None:
            return found
        url = joined(answer, following.group(1))
    raise CoalmineError(f"{first}: the registry gives more than {_MOST_PAGES} pages")


def _names(answer: httpx.Response, key: str) -> list[str]:
    try:
        return [str(name) for name in json.loads(answer.content)[key] or ()]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise CoalmineError(
            f"GET {answer.request.url.path}: the registry's list cannot be read"
        ) from None
