"""Bentos in an OCI registry: the artifact ``host/path/NAME:VERSION``.

The tag ``latest`` is the version that was pushed last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.address import Repository, parse_remote
from coalmine.registry.client import Manifest, RemoteRepository, open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.stores import artifact
from coalmine.stores.limits import Limits
from coalmine.stores.manifest import check_bento
from coalmine.stores.names import check_name, check_version, is_latest, listed
from coalmine.stores.protocol import Found, Pushed

__all__ = ["RegistryStore"]

_LATEST = "latest"
_NO_VERSION = ("context-", "sha256-")


class RegistryStore:
    """Bentos below one path of a registry.

    Args:
        reference: ``oci://host/path``.
        options: How registries are reached.
        limits: How much a bento may hold.

    Raises:
        InputError: It is no such place.
    """

    def __init__(self, reference: str, options: RegistryOptions, limits: Limits) -> None:
        place = parse_remote(reference, field="store")
        if place.tag or place.digest:
            raise InputError(
                f"{reference!r} has a tag or digest", field="store", fix="give oci://host/path"
            )
        self._place, self._options, self._limits = place.repository, options, limits
        self.url = f"oci://{place.repository}"

    def resolve(self, name: str, version: str) -> str:
        """Find the version that is meant; ``latest`` and the empty string mean the last pushed.

        Raises:
            InputError: There is no such bento; the message lists the versions there are.
            CoalmineError: The registry does not answer, or the latest is still being pushed.
        """
        if is_latest(version):
            with self._open(name) as remote:
                manifest = self._manifest(remote, name, _LATEST)
                version = artifact.annotations_of(manifest).get(artifact.VERSION, "")
                check_version(version)
                if not remote.has_manifest(version):
                    raise CoalmineError(
                        f"{name}:{version} is the latest in {self.url}, and its push has not ended",
                        fix="run this again when it has; if it was stopped, push it again",
                    )
        check_version(version)
        return version

    def find(self, name: str, version: str) -> Found:
        """Look a bento up; its source is its manifest's digest.

        Raises:
            InputError: It is not there.
            CoalmineError: The registry does not answer.
        """
        with self._open(name) as remote:
            manifest = self._manifest(remote, name, version)
        tag = f"{name}:{version}"
        return Found(
            f"{self.url}/{name}@{manifest.digest}",
            lambda into: self._fetch(manifest, tag, into),
        )

    def names(self) -> dict[str, list[str]]:
        """List every bento's versions by name, but for the last pushed, which comes last.

        Raises:
            InputError: The registry does not tell what it holds.
            CoalmineError: It does not answer.
        """
        with open_repository(self._place, self._options) as remote:
            paths = remote.list_all("_catalog", "repositories")
        if paths is None:
            raise InputError(
                f"the registry does not tell what bentos are in {self.url}",
                field="store",
                fix="ask the registry itself; the versions of one bento are its tags",
            )
        prefix = f"{self._place.path}/"
        names = sorted(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
        found = {name: self._versions(name) for name in names if "/" not in name}
        return {name: versions for name, versions in found.items() if versions}

    def push(
        self,
        folder: Path,
        tag: tuple[str, str],
        *,
        replace: bool = False,
        report: Callable[[int], None] = lambda _: None,
    ) -> Pushed:
        """Write a bento; parts that are there are not sent again.

        Raises:
            InputError: Another content has that version already, or the registry does not allow it.
            CoalmineError: The registry does not answer.
        """
        name, version = tag
        packed = artifact.pack(folder, report)
        reference = f"{self.url}/{name}:{version}"
        with self._open(name, writes=True) as remote:
            before = remote.pull_manifest(version)
            if before and before.digest == packed.manifest.digest:
                return Pushed(reference, before.digest, 0)
            if before and not replace:
                raise InputError(
                    f"{name}:{version} is in {self.url} already, with another content",
                    field="version",
                    fix="build the bento with a new version, or replace this one with --replace",
                )
            # In this order a push that is killed between is not taken for one that has ended.
            sent = artifact.push(remote, packed, _LATEST)
            remote.push_manifest(packed.manifest, version)
        return Pushed(reference, packed.manifest.digest, sent)

    def _fetch(self, manifest: Manifest, tag: str, into: Path) -> None:
        name = tag.partition(":")[0]
        with self._open(name) as remote:
            artifact.pull(remote, manifest, into, self._limits)
        check_bento(into, tag, models=into / "models")

    def _versions(self, name: str) -> list[str]:
        with self._open(name) as remote:
            tags = _tags(remote)
            manifest = remote.pull_manifest(_LATEST) if tags else None
        try:
            newest = artifact.annotations_of(manifest)[artifact.VERSION] if manifest else ""
        except (InputError, KeyError):
            return []  # an image lies there, and no bento
        return [tag for tag in tags if tag != newest] + [tag for tag in tags if tag == newest]

    @contextmanager
    def _open(self, name: str, *, writes: bool = False) -> Iterator[RemoteRepository]:
        check_name(name)
        place = parse_remote(f"{self._place}/{name}", field="name").repository
        repository = Repository(place.host, place.path)
        with open_repository(repository, self._options, writes=writes) as remote:
            yield remote

    def _manifest(self, remote: RemoteRepository, name: str, version: str) -> Manifest:
        found = remote.pull_manifest(version)
        if found:
            return found
        tags = _tags(remote)
        what = f"{name}:{version}" if tags else repr(name)
        raise InputError(
            f"there is no bento {what} in {self.url}",
            field="version" if tags else "name",
            fix=f"release one of: {listed(tags)}" if tags else "push it with: coalmine push",
        )


def _tags(remote: RemoteRepository) -> list[str]:
    """List a bento's versions; a build context among them is none."""
    tags = remote.list_all("tags/list", "tags") or []
    return sorted(tag for tag in tags if tag != _LATEST and not tag.startswith(_NO_VERSION))
