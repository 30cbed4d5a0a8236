"""Ask a server on this machine over HTTP: no proxy from the environment, no log line a request."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

__all__ = ["OK", "get"]

OK = 200


def get(url: str, *, seconds: float) -> tuple[int, str]:
    """Fetch a URL.

    Args:
        url: An ``http://`` URL.
        seconds: The limit for each wait.

    Returns:
        The status code and the body.

    Raises:
        OSError: There is no whole answer.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
