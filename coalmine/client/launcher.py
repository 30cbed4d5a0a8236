"""Read releases from a launcher over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["get_release", "get_releases"]

TIMEOUT = 10.0


def get_release(url: str, release_id: str, *, token: str = "") -> dict[str, Any]:
    """Read one release.

    Args:
        url: The launcher's base URL.
        release_id: The release's id.
        token: Shown to the launcher, if any.

    Returns:
        As ``coalmine runs ID -o json`` prints it.

    Raises:
        InputError: There is no such release, or the launcher refuses to tell.
        CoalmineError: The launcher does not answer, or failed.
    """
    found: dict[str, Any] = _get(url, f"/releases/{quote(release_id, safe='')}", token)
    return found


def get_releases(url: str, query: str = "", *, token: str = "") -> list[dict[str, Any]]:
    """Read the newest releases that the query of a URL takes, the newest first.

    Raises:
        InputError: The launcher refuses the query.
        CoalmineError: The launcher does not answer, or failed.
    """
    found: list[dict[str, Any]] = _get(url, f"/releases?{query}", token)
    return found


def _get(url: str, path: str, token: str) -> Any:  # noqa: ANN401 - JSON
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{url.rstrip('/')}{path}", headers=headers, timeout=TIMEOUT)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InputError(
            f"{url!r} is no URL of a launcher: {error}", fix="give one like http://127.0.0.1:8080"
        ) from None
    except httpx.HTTPError as error:
        raise CoalmineError(
            f"the launcher at {url} does not answer: {error}",
            fix="start one with: coalmine up, or name another with --launcher",
        ) from None
    try:
        body = answer.json()
        if answer.is_success:
            return body
        message, fix = str(body["detail"]), str(body.get("fix", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CoalmineError(
            f"{url} answered {answer.status_code}, and not as a launcher does",
            fix="check that the URL is a launcher's",
        ) from None
    kind = InputError if answer.is_client_error else CoalmineError
    raise kind(message, fix=fix)
