"""One repository in a registry."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import httpx

from coalmine._base.errors import CoalmineError
from coalmine.registry.address import Repository
from coalmine.registry.content import MANIFEST_TYPES, Manifest, Pushed
from coalmine.registry.digest import is_digest
from coalmine.registry.early import EarlyUpload
from coalmine.registry.faults import RegistryError, unreachable
from coalmine.registry.options import RegistryOptions
from coalmine.registry.pacing import wait_before_retry
from coalmine.registry.pages import list_pages
from coalmine.registry.session import Ask, Session
from coalmine.registry.source import BlobSource
from coalmine.registry.upload import upload

__all__ = ["MANIFEST_TYPES", "Manifest", "Pushed", "RemoteRepository", "open_repository"]

_OK, _PARTIAL, _CREATED, _NOT_FOUND = 200, 206, 201, 404
_AT_ONCE = 4
_PASSING = ("BLOB_UNKNOWN", "DIGEST_INVALID")


class Out(Protocol):
    """What bytes can be written to, front to back."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them."""


class RemoteRepository:
    """Reads and writes one repository. Open it with `open_repository`.

    Args:
        repository: Which.
        session: Its registry.
        writes: Whether it will be written to. Then every token is asked to allow that, as other
            clients do: some registries let nobody look at a repository that is not there yet, but
            for one who may make it.
    """

    def __init__(self, repository: Repository, session: Session, *, writes: bool = False) -> None:
        self.repository = repository
        self._session = session
        self._path = repository.path
        self._there: set[str] = set()  # blobs that this has pushed, or found when it was to
        self._push = (f"repository:{self._path}:pull,push",)
        self._pull = self._push if writes else (f"repository:{self._path}:pull",)

    def has_blob(self, digest: str) -> bool:
        """Tell whether a blob is there.

        Raises:
            CoalmineError: The registry cannot be asked, or does not allow it.
        """
        ask = Ask("HEAD", self._blob(digest), frozenset({_OK, _NOT_FOUND}), self._pull)
        return self._session.send(ask).status_code == _OK

    def push_blob(self, source: BlobSource) -> Pushed:
        """Have a blob there: found, mounted from another repository of the registry, or sent.

        Raises:
            InputError: The registry does not allow it.
            CoalmineError: It could not be sent.
        """
        there = source.digest in self._there
        if there or (not source.news and self.has_blob(source.digest)):
            vain = source.begun.abandon() if source.begun else 0
            pushed = Pushed(sent_bytes=vain, reused_bytes=source.size)
        elif source.begun and source.begun.finish(source.digest):
            pushed = Pushed(sent_bytes=source.size)
        elif upload(self._session, self._path, source):
            pushed = Pushed(reused_bytes=source.size)
        else:
            pushed = Pushed(sent_bytes=source.size)
        self._there.add(source.digest)
        return pushed

    def begin_blob(self, size: int | None, pieces: Callable[[], Iterator[bytes]]) -> EarlyUpload:
        """Begin to send a blob whose digest is still to be found out.

        Args:
            size: In bytes; None where it is not known either.
            pieces: Gives the blob, front to back.
        """
        return EarlyUpload(self._session, self._path, size, pieces)

    def push_blobs(self, sources: Iterable[BlobSource]) -> Pushed:
        """Have several blobs there, up to four at a time; each digest once.

        Raises:
            CoalmineError: As `push_blob` does, of the first that failed.
        """
        each = {source.digest: source for source in sources}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return sum(pool.map(self.push_blob, each.values()), Pushed())

    def pull_blob(self, digest: str, out: Out, *, most: int | None = None) -> int:
        """Write a blob to somewhere; a broken connection is resumed where it broke.

        Args:
            digest: The blob.
            out: Where to. What was written there is worth nothing if this raises.
            most: How many bytes it is said to have; more are not taken.

        Returns:
            Its size in bytes.

        Raises:
            InputError: It is not there, or the registry does not allow it.
            CoalmineError: It could not be read, is larger than was said, or its content is not what
                its name says.
        """
        total, size, failures = hashlib.sha256(), 0, 0
        while True:
            before = size
            try:
                for piece in self._rest_of(digest, size):
                    size += len(piece)
                    self._refuse_more(digest, size, most)
                    out.write(piece)
                    total.update(piece)
                break
            except httpx.HTTPError as error:
                failures = 1 if size > before else failures + 1
                wait = wait_before_retry(None, "", failures)
                if wait is None:
                    raise unreachable(f"GET {digest} of {self.repository}", error) from None
                self._session.sleep(wait)
        if f"sha256:{total.hexdigest()}" != digest:
            raise CoalmineError(
                f"{self.repository} gave other bytes than {digest}",
                fix="see the registry and what lies between; nothing of it was kept",
            )
        return size

    def pull_manifest(self, name: str) -> Manifest | None:
        """Read a manifest or index by tag or digest; None if there is none.

        Raises:
            CoalmineError: It cannot be read, or its bytes have another digest.
        """
        ask = Ask(
            "GET",
            self._manifest(name),
            frozenset({_OK, _NOT_FOUND}),
            self._pull,
            {"Accept": ", ".join(MANIFEST_TYPES)},
        )
        answer = self._session.send(ask)
        if answer.status_code == _NOT_FOUND:
            return None
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        manifest = Manifest(answer.content, media_type)
        wanted = name if is_digest(name) else answer.headers.get("Docker-Content-Digest")
        if is_digest(wanted) and manifest.digest != wanted:
            raise CoalmineError(
                f"{self.repository} gave other bytes than the manifest {wanted}",
                fix="see the registry and what lies between",
            )
        return manifest

    def has_manifest(self, name: str) -> bool:
        """Tell whether a manifest is there, by tag or digest.

        Raises:
            CoalmineError: The registry cannot be asked, or does not allow it.
        """
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        ok = frozenset({_OK, _NOT_FOUND})
        ask = Ask("HEAD", self._manifest(name), ok, self._pull, headers)
        return self._session.send(ask).status_code == _OK

    def push_manifest(self, manifest: Manifest, tag: str = "") -> httpx.Headers:
        """Store a manifest's exact bytes, under a tag or by its digest alone.

        Returns:
            The answer's headers.

        Raises:
            InputError: The registry does not allow it.
            CoalmineError: It could not be stored, or was stored under another digest.
        """
        ask = Ask(
            "PUT",
            self._manifest(tag or manifest.digest),
            frozenset({_CREATED}),
            self._push,
            {"Content-Type": manifest.media_type, "Content-Length": str(len(manifest.content))},
            lambda: iter((manifest.content,)),
        )
        headers = self._send_manifest(ask).headers
        stored = headers.get("Docker-Content-Digest", manifest.digest)
        if stored != manifest.digest:
            raise CoalmineError(
                f"{self.repository} stored {stored} where {manifest.digest} was sent",
                fix="use a registry that stores manifests as they are sent",
            )
        return headers

    def _send_manifest(self, ask: Ask) -> httpx.Response:
        """Send a manifest, again where the registry does not see a blob that it has just taken.

        It may be of two minds for a moment when others push the same blob: distribution 2.8
        empties the file that links a repository to the blob and writes it again, and says of a
        manifest that it looks at in between that its digest is invalid. A manifest's digest is made
        from the very bytes that are sent, so that such an answer is never about them.
        """
        tried = 0
        while True:
            tried += 1
            try:
                return self._session.send(ask)
            except RegistryError as fault:
                wait = wait_before_retry(None, "", tried)
                if wait is None or not any(code in fault.message for code in _PASSING):
                    raise
            self._session.sleep(wait)

    def ask(self, method: str, path: str, ok: frozenset[int], accept: str) -> httpx.Response:
        """Ask for something else below the repository, read-only.

        Raises:
            CoalmineError: There was no right answer.
        """
        url = f"/v2/{self._path}/{path}"
        return self._session.send(Ask(method, url, ok, self._pull, {"Accept": accept}))

    def list_all(self, what: str, key: str) -> list[str] | None:
        """List what the registry gives page by page; None if it does not tell.

        Args:
            what: ``tags/list`` of this repository, or ``_catalog`` of the whole registry.
            key: Where the names are in an answer.

        Raises:
            CoalmineError: The registry cannot be asked, or its answer cannot be read.
        """
        whole = what.startswith("_")
        scopes = ("registry:catalog:*",) if whole else self._pull
        first = f"/v2/{what}" if whole else f"/v2/{self._path}/{what}"
        return list_pages(self._session, first, key, scopes)

    def _rest_of(self, digest: str, begin: int) -> Iterator[bytes]:
        """Give a blob's bytes from one on, from a server that may not know of ranges."""
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        ok = frozenset({_OK, _PARTIAL}) if begin else frozenset({_OK})
        ask = Ask("GET", self._blob(digest), ok, self._pull, headers)
        with self._session.stream(ask) as answer:
            skip = begin if answer.status_code == _OK else 0
            for piece in answer.iter_raw():
                yield piece[skip:]
                skip = max(0, skip - len(piece))

    def _refuse_more(self, digest: str, size: int, most: int | None) -> None:
        if most is not None and size > most:
            raise CoalmineError(
                f"{self.repository} gives more than the {most} bytes that {digest} is said to have",
                fix="see the registry and what lies between; nothing of it was kept",
            )

    def _blob(self, digest: str) -> str:
        return f"/v2/{self._path}/blobs/{digest}"

    def _manifest(self, name: str) -> str:
        return f"/v2/{self._path}/manifests/{name}"


@contextmanager
def open_repository(
    repository: Repository,
    options: RegistryOptions,
    *,
    writes: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[RemoteRepository]:
    """Open a repository; its connections are closed at the end.

    Args:
        repository: Which.
        options: How its registry is reached.
        writes: Whether it will be written to.
        sleep: Waits some seconds before a request is tried again.
    """
    session = Session(repository, options, sleep=sleep)
    try:
        yield RemoteRepository(repository, session, writes=writes)
    finally:
        session.close()
