"""Buildah: a full build of the bento's own Dockerfile, for bentos that need more than layers.

It runs what the Dockerfile says, as root in a chroot, so it needs more rights than the layered
builder, and the base image's whole content. Two builds of one bento need not have one digest.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.images.buildah_store import BuildahStore
from coalmine.images.dockerfile import DOCKERFILE, buildable
from coalmine.images.protocol import BuiltImage
from coalmine.images.reference import ImageReference, parse_target
from coalmine.registry.address import RemoteReference
from coalmine.registry.digest import is_digest
from coalmine.registry.options import RegistryOptions

__all__ = ["BuildahBuilder"]


@dataclass(frozen=True, slots=True)
class BuildahBuilder:
    """Builds with ``buildah bud``, its own layer cache kept in a folder.

    Attributes:
        storage: Where buildah keeps layers.
        epoch: The time that files and image get, in seconds since 1970; else the time now.
        registry: How registries are reached.
    """

    storage: Path
    epoch: int | None = None
    registry: RegistryOptions = field(default_factory=RegistryOptions)

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context, and push it to the place that the repository means.

        Raises:
            InputError: The context is no bento or has no Dockerfile.
            CoalmineError: buildah is not here, or failed; its last words are in the error.
        """
        target, facts = parse_target(repository), buildable(context)
        tag = facts.version
        if isinstance(target, RemoteReference):
            tag = target.tag or tag
        name = f"localhost/coalmine/{facts.name.lower()}:{tag}"
        with self._store.building(name):
            with tempfile.TemporaryDirectory() as folder:
                built = self._build(context, name, Path(folder))
            return self._push(built, target, tag)

    @property
    def _store(self) -> BuildahStore:
        return BuildahStore(self.storage)

    def _build(self, context: Path, name: str, folder: Path) -> str:
        """Give the image's own id: another build may take its name before it is pushed."""
        said, trust = folder / "id", self._trusted(folder)
        dated = ["--timestamp", str(self.epoch)] if self.epoch is not None else []
        self._store.run(
            *("bud", "--isolation", "chroot", "--layers", "--format", "oci", *dated, *trust),
            *("--file", str(context / DOCKERFILE), "--tag", name, "--iidfile", str(said)),
            str(context),
        )
        return said.read_text().strip()

    def _push(self, built: str, target: Path | RemoteReference, tag: str) -> BuiltImage:
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "digest"
            if isinstance(target, Path):
                target.parent.mkdir(parents=True, exist_ok=True)
                self._store.run("push", "--digestfile", str(said), built, f"oci:{target}:{tag}")
                url = ImageReference(target, "").url
            else:
                to = f"docker://{target.repository}:{tag}"
                trust = self._trust(target, Path(folder))
                self._store.run("push", *trust, "--digestfile", str(said), built, to)
                url = str(target.repository)
            digest = said.read_text().strip()
        if not is_digest(digest):
            raise CoalmineError(f"buildah named no digest but {digest!r}")
        return BuiltImage(url, digest, 0, 0)

    def _trust(self, target: RemoteReference, folder: Path) -> list[str]:
        if self.registry.is_plain(target.repository.api_host):
            return ["--tls-verify=false"]
        return self._trusted(folder)

    def _trusted(self, folder: Path) -> list[str]:
        """Have the authority trusted that the options name, wherever an image comes from."""
        if self.registry.ca_file is None:
            return []
        shutil.copy(self.registry.ca_file, folder / "ca.crt")
        return ["--cert-dir", str(folder)]
