"""Send one blob: mounted if the registry has it elsewhere, else whole or in chunks, with resume.

Source of the rules: distribution specification 1.1, "Pushing blobs". A chunk that failed is
continued where the registry says it has got to; a registry that has forgotten the upload gets it
from the beginning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import httpx

from coalmine._base.errors import CoalmineError
from coalmine.registry.answers import check_stored, location_of
from coalmine.registry.faults import RegistryError
from coalmine.registry.pacing import wait_before_retry
from coalmine.registry.session import Ask, Session
from coalmine.registry.source import BlobSource

__all__ = ["upload"]

_CREATED, _ACCEPTED, _NO_CONTENT, _NOT_FOUND = 201, 202, 204, 404
_LOST = {_NOT_FOUND, 416}


@dataclass(frozen=True, slots=True)
class _Upload:
    """Where an upload stands: its URL, and the bytes that have arrived."""

    location: str
    offset: int
    shortest: int = 0


def upload(session: Session, path: str, source: BlobSource) -> bool:
    """Send a blob that the registry has not got.

    Args:
        session: The registry.
        path: The repository.
        source: The blob.

    Returns:
        Whether it was mounted; then no byte of it was sent.

    Raises:
        InputError: The registry does not allow it.
        CoalmineError: It could not be sent; nothing of it is visible then.
    """
    sender = _Sender(session, path, source)
    begun = sender.begin(source.mount_from)
    if begun is None:
        return True
    sender.finish(begun)
    return False


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


class _Sender:
    def __init__(self, session: Session, path: str, source: BlobSource) -> None:
        self._session, self._path, self._source = session, path, source
        self._scopes = (f"repository:{path}:pull,push",)

    def begin(self, mount_from: str) -> _Upload | None:
        query = f"?mount={self._source.digest}&from={mount_from}" if mount_from else ""
        scopes = (*self._scopes, *([f"repository:{mount_from}:pull"] if mount_from else []))
        answer = self._session.send(
            Ask(
                "POST",
                f"/v2/{self._path}/blobs/uploads/{query}",
                frozenset({_CREATED, _ACCEPTED}),
                scopes,
                {"Content-Length": "0"},
            )
        )
        if answer.status_code == _CREATED:
            return None
        shortest = answer.headers.get("OCI-Chunk-Min-Length", "")
        return _Upload(location_of(answer), 0, _number(shortest))

    def finish(self, at: _Upload) -> None:
        failures = 0
        while True:
            try:
                after = self._advance(at)
                if after is None:
                    return
                at, failures = after, 0
            except RegistryError as fault:
                failures += 1
                wait = wait_before_retry(fault.status, fault.retry_after, failures)
                if wait is None:
                    raise
                self._session.sleep(wait)
                continued = self._continue(at)
                if continued is None:
                    return
                at = continued

    def _advance(self, at: _Upload) -> _Upload | None:
        """Send the next part; None when it was the last."""
        most = max(self._session.chunk_bytes, at.shortest)
        left = self._source.size - at.offset
        if not self._session.chunk_bytes or left <= most:
            self._send("PUT", self._with_digest(at.location), at.offset, self._source.size)
            return None
        end = at.offset + most
        answer = self._send("PATCH", at.location, at.offset, end)
        return replace(at, location=location_of(answer), offset=end)

    def _send(self, method: str, url: str, begin: int, end: int) -> httpx.Response:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - begin),
        }
        if (begin or method == "PATCH") and end > begin:
            headers["Content-Range"] = f"{begin}-{end - 1}"
        answer = self._session.send(
            Ask(
                method,
                url,
                frozenset({_CREATED if method == "PUT" else _ACCEPTED, *_LOST}),
                self._scopes,
                headers,
                lambda: self._source.pieces(begin, end),
                once=True,
                stores=self._source.size if method == "PUT" else end - begin,
            )
        )
        if answer.status_code in _LOST:
            raise RegistryError(f"the registry has lost the upload of {self._source.digest}")
        if method == "PUT":
            check_stored(answer, self._source.digest)
        return answer

    def _continue(self, at: _Upload) -> _Upload | None:
        """Find out what has arrived; None if all has, though the answer was lost."""
        if self._has_arrived():
            return None
        try:
            answer = self._session.send(
                Ask("GET", at.location, frozenset({_NO_CONTENT}), self._scopes)
            )
        except CoalmineError:
            return self._begin_again()
        arrived = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", answer.headers.get("Range", ""))
        offset = int(arrived.group(1)) + 1 if arrived else 0
        # "0-0" is what registries say of nothing; a lone first byte is sent again then.
        if offset <= 1 or offset > self._source.size:
            return self._begin_again()
        location = location_of(answer) if "Location" in answer.headers else at.location
        return replace(at, location=location, offset=offset)

    def _begin_again(self) -> _Upload | None:
        return self.begin("")

    def _has_arrived(self) -> bool:
        url = f"/v2/{self._path}/blobs/{self._source.digest}"
        ok = frozenset({200, _NOT_FOUND})
        return self._session.send(Ask("HEAD", url, ok, self._scopes)).status_code != _NOT_FOUND

    def _with_digest(self, location: str) -> str:
        """Name the blob, in what the registry gave as a query may already be."""
        return location + ("&" if "?" in location else "?") + f"digest={self._source.digest}"
