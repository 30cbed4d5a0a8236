"""Send a blob while its digest is still being found out.

A registry wants to know a blob's digest only at the end of its upload, so that reading a large file
for its digest and sending it can go on side by side. This is a try: whatever goes wrong with it, or
is asked of uploads in particular, the blob is sent in the usual way, which has retries and resumes.
Source of the rules: distribution specification 1.1, "Pushing blobs".
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import httpx

from coalmine._base.errors import CoalmineError
from coalmine.registry.answers import check_stored, location_of
from coalmine.registry.session import Ask, Session

__all__ = ["EarlyUpload"]

_CREATED, _ACCEPTED, _NO_CONTENT, _NOT_FOUND = 201, 202, 204, 404


class EarlyUpload:
    """One blob on its way; it begins at once, in a thread of its own.

    Args:
        session: The registry.
        path: The repository.
        size: Of the blob, in bytes; None where it is still being made. Then it goes in pieces and
            no length is said before, as in Docker's own push.
        pieces: Gives the blob, front to back.
    """

    def __init__(
        self,
        session: Session,
        path: str,
        size: int | None,
        pieces: Callable[[], Iterator[bytes]],
    ) -> None:
        self._session, self._path, self._size, self._pieces = session, path, size, pieces
        self._scopes = (f"repository:{path}:pull,push",)
        self._unwanted = threading.Event()
        self._location, self._arrived = "", False
        self._sent = 0
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def finish(self, digest: str) -> bool:
        """Wait until all is sent, and name the blob.

        Returns:
            Whether it is there now; if not, it is to be sent anew.

        Raises:
            CoalmineError: The registry stored something else.
        """
        self._thread.join()
        if not self._arrived:
            return False
        place, self._location = self._location, ""
        url = place + ("&" if "?" in place else "?") + f"digest={digest}"
        ask = Ask(
            "PUT",
            url,
            frozenset({_CREATED}),
            self._scopes,
            {"Content-Length": "0"},
            once=True,
            stores=self._sent,
        )
        try:
            answer = self._session.send(ask)
        except CoalmineError:
            return False
        check_stored(answer, digest)
        return True

    def abandon(self) -> int:
        """Stop, and have the registry forget what it got; how many bytes were sent in vain."""
        self._unwanted.set()
        self._thread.join()
        if self._location:
            ok = frozenset({_NO_CONTENT, _ACCEPTED, _NOT_FOUND})
            with contextlib.suppress(CoalmineError):
                self._session.send(Ask("DELETE", self._location, ok, self._scopes, once=True))
            self._location = ""
        return self._sent

    def _send(self) -> None:
        # Whatever is wrong, the usual way finds it too, and says it.
        with contextlib.suppress(CoalmineError, OSError, _Unwanted):
            begun = self._ask("POST", f"/v2/{self._path}/blobs/uploads/", {"Content-Length": "0"})
            self._location = location_of(begun)
            if self._session.chunk_bytes or "OCI-Chunk-Min-Length" in begun.headers:
                return
            headers = {"Content-Type": "application/octet-stream"}
            if self._size is not None:
                headers["Content-Length"] = str(self._size)
            self._location = location_of(self._ask("PATCH", self._location, headers, self._body))
            self._arrived = True

    def _ask(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Callable[[], Iterator[bytes]] | None = None,
    ) -> httpx.Response:
        ok = frozenset({_ACCEPTED})
        stores = (self._size or 0) if body else 0
        return self._session.send(
            Ask(method, url, ok, self._scopes, headers, body, once=True, stores=stores)
        )

    def _body(self) -> Iterator[bytes]:
        for piece in self._pieces():
            if self._unwanted.is_set():
                raise _Unwanted
            self._sent += len(piece)
            yield piece


class _Unwanted(Exception):  # noqa: N818 - not an error
    """The blob need not be sent after all."""
