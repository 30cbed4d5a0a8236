"""An answer's body, read into memory and never more of it than was allowed.

A body without a length may be endless, and a packed one larger than its length says.
"""

from __future__ import annotations

import re

import httpx

from coalmine._base.errors import CoalmineError

__all__ = ["beginning_of", "read_whole"]

_FRAMING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def read_whole(answer: httpx.Response, what: str, *, most: int) -> httpx.Response:
    """Give an answer with its body in memory.

    Args:
        answer: Its body is still to be read.
        what: What was asked, of whom.
        most: Bytes of the body.

    Raises:
        CoalmineError: It has more.
        httpx.HTTPError: It ends too early, or not at all.
    """
    said = answer.headers.get("Content-Length", "")
    is_number = re.fullmatch(r"[0-9]{1,18}", said)
    told = int(said) if is_number and answer.request.method != "HEAD" else 0
    content = b"" if told > most else beginning_of(answer, most + 1)
    if max(told, len(content)) > most:
        raise CoalmineError(f"{what}: the answer has over {most} bytes")
    headers = [pair for pair in answer.headers.raw if pair[0].lower() not in _FRAMING]
    return httpx.Response(
        answer.status_code, headers=headers, content=content, request=answer.request
    )


def beginning_of(answer: httpx.Response, most: int) -> bytes:
    """Read so many bytes of a body, or all of it if it has fewer.

    Raises:
        httpx.HTTPError: It ends too early, or not at all.
    """
    content = bytearray()
    for piece in answer.iter_bytes():
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])
