"""A bucket of bentos: ``NAME/VERSION.bento`` below a prefix.

An object may be written by ``coalmine push``, which notes digests with it, or by
``bentoml export NAME:VERSION s3://bucket/prefix/NAME/VERSION.bento``. The version that was written
last is the latest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.archive import extract
from coalmine.stores.context import digest_of_folder
from coalmine.stores.limits import Limits
from coalmine.stores.manifest import check_bento
from coalmine.stores.names import check_name, check_version, instead, is_latest, listed
from coalmine.stores.objects import Objects, Stored
from coalmine.stores.pack import tar_of
from coalmine.stores.protocol import Found, Pushed
from coalmine.stores.stream import measured
from coalmine.stores.xz import wrapped

__all__ = ["BucketStore"]

_SUFFIX = ".bento"
_ARCHIVE, _CONTENT = "coalmine-sha256", "coalmine-content"


class BucketStore:
    """Bentos below one prefix of a bucket.

    Args:
        objects: The place.
        limits: How much a bento may hold.
    """

    def __init__(self, objects: Objects, limits: Limits) -> None:
        self.url = objects.url
        self._objects = objects
        self._limits = limits

    def resolve(self, name: str, version: str) -> str:
        """Find the version that is meant; ``latest`` and the empty string mean the last written.

        Raises:
            InputError: There is no such bento; the message lists what there is.
            CoalmineError: The bucket does not answer.
        """
        check_name(name)
        if not is_latest(version):
            check_version(version)
            self._found(name, version)
            return version
        versions = self._versions(name)
        if not versions:
            raise self._unknown_name(name)
        return max(versions, key=lambda one: (versions[one].modified, one))

    def find(self, name: str, version: str) -> Found:
        """Look a bento up; its source is the object's ETag.

        Raises:
            InputError: It is not there.
            CoalmineError: The bucket does not answer.
        """
        stored = self._found(name, version)
        source = f"{self.url}/{stored.key} {stored.etag} {stored.size}" if stored.etag else ""
        return Found(source, lambda into: self._fetch(stored, f"{name}:{version}", into))

    def _fetch(self, stored: Stored, tag: str, into: Path) -> None:
        """Download the object and unpack it, verifying what is known of it."""
        if stored.size > self._limits.size:
            raise InputError(
                f"{self.url}/{stored.key} has {stored.size} bytes, more than are allowed",
                fix="allow more with COALMINE_MAX_BENTO_BYTES",
            )
        archive = into.with_name("archive")
        digest = self._download(stored, archive)
        self._compare(stored, digest, _ARCHIVE)
        extract(archive, into, self._limits)
        archive.unlink()
        check_bento(into, tag, models=into / "models")
        self._compare(stored, digest_of_folder(into), _CONTENT)

    def names(self) -> dict[str, list[str]]:
        """List every bento's versions, the last written last."""
        found: dict[str, list[Stored]] = {}
        for stored in self._objects.list(""):
            name, _, rest = stored.key.rpartition("/")
            if name and "/" not in name and rest.endswith(_SUFFIX):
                found.setdefault(name, []).append(stored)
        return {
            name: [_version(item) for item in sorted(items, key=lambda s: (s.modified, s.key))]
            for name, items in sorted(found.items())
        }

    def push(
        self,
        folder: Path,
        tag: tuple[str, str],
        *,
        replace: bool = False,
        report: Callable[[int], None] = lambda _: None,
    ) -> Pushed:
        """Write a bento; the same content is not sent again.

        Raises:
            InputError: Another content has that version already.
            CoalmineError: The bucket does not answer, or the folder changed meanwhile.
        """
        key = "/".join(tag) + _SUFFIX
        content = digest_of_folder(folder)
        before = self._objects.find(key)
        if before and before.facts.get(_CONTENT) == content:
            return Pushed(f"{self.url}/{key}", f"sha256:{before.facts.get(_ARCHIVE, '')}", 0)
        if before and not replace:
            raise InputError(
                f"{':'.join(tag)} is in {self.url} already, with another content",
                field="version",
                fix="build the bento with a new version, or replace this one with --replace",
            )
        digest, size = measured(wrapped(tar_of(folder)))
        self._objects.write(
            key,
            _reported(wrapped(tar_of(folder)), digest, report),
            {_ARCHIVE: digest, _CONTENT: content},
        )
        return Pushed(f"{self.url}/{key}", f"sha256:{digest}", size)

    def _download(self, stored: Stored, archive: Path) -> str:
        total = hashlib.sha256()
        with archive.open("wb") as file:
            for chunk in self._objects.read(stored):
                total.update(chunk)
                file.write(chunk)
        return total.hexdigest()

    def _compare(self, stored: Stored, digest: str, fact: str) -> None:
        known = stored.facts.get(fact, digest)
        if known != digest:
            raise CoalmineError(
                f"{self.url}/{stored.key} is damaged: it was written with the digest "
                f"sha256:{known} and has sha256:{digest}",
                fix="push it again with --replace",
            )

    def _found(self, name: str, version: str) -> Stored:
        stored = self._objects.find(f"{name}/{version}{_SUFFIX}")
        if stored:
            return stored
        versions = self._versions(name)
        if not versions:
            raise self._unknown_name(name)
        raise InputError(
            f"there is no bento {name}:{version} in {self.url}",
            field="version",
            fix=f"release one of: {listed(sorted(versions))}",
        )

    def _unknown_name(self, name: str) -> InputError:
        return InputError(
            f"there is no bento {name!r} in {self.url}",
            field="name",
            fix=instead(list(self.names())),
        )

    def _versions(self, name: str) -> dict[str, Stored]:
        depth = name.count("/") + 1
        return {
            _version(stored): stored
            for stored in self._objects.list(f"{name}/")
            if stored.key.endswith(_SUFFIX) and stored.key.count("/") == depth
        }


def _version(stored: Stored) -> str:
    return stored.key.rpartition("/")[2].removesuffix(_SUFFIX)


def _reported(
    chunks: Iterator[bytes], digest: str, report: Callable[[int], None]
) -> Iterator[bytes]:
    """Pass bytes on, and stop the upload at its end if they are not those that were measured."""
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
        report(len(chunk))
        yield chunk
    if total.hexdigest() != digest:
        raise CoalmineError("the bento changed while it was sent", fix="push it again")
