"""The layered builder: an image straight from the bento's files, with no Dockerfile run.

Beneath one layer a model and one for the code lie the Python packages and a base image, whose
layers are named and not touched. Without a base there are only the bento's own layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.assembly import Assembly
from coalmine.images.bases import full_name
from coalmine.images.bento import BentoFacts, read_facts, scan
from coalmine.images.kinds import BENTO, ImageKind
from coalmine.images.layout import OciLayout
from coalmine.images.models import EMBEDDED
from coalmine.images.platforms import Platform, own_platform
from coalmine.images.protocol import BuiltImage
from coalmine.images.reference import parse_target
from coalmine.images.secrets import refuse_secrets
from coalmine.images.wishes import Wishes
from coalmine.registry.address import RemoteReference
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions

__all__ = ["NO_BASE", "LayeredBuilder"]

NO_BASE = "none"
"""The name of no base image."""


@dataclass(frozen=True, slots=True)
class LayeredBuilder:
    """Builds OCI images into a layout folder, and from there into a registry.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970; else files get 1970 and
            the image gets the time at which the bento was built.
        platforms: What the image is for; several make an index.
        compression: Of layers that shrink: ``zstd`` or ``gzip``.
        cache: The layout that an image goes through on its way to a registry. What is in it is
            not built again.
        registry: How registries are reached.
        base: The base image, or ``none``. Empty means none for an image that goes to a folder, to
            be run by this Python, and else the one that the bento names.
        base_python: Path of the base's Python; empty means that the base says which it has.
        kind: What the image is of. One of models alone has a small base of its own by default.
        import_seconds: How long importing the bento's service may take; 0 means that it is not
            imported.
    """

    epoch: int | None = None
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (own_platform(),))
    compression: str = "zstd"
    cache: Path = Path(".coalmine/images")
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    base: str = ""
    base_python: str = ""
    kind: ImageKind = BENTO
    import_seconds: float = 0.0

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context into the place that the repository means.

        Args:
            context: The bento.
            repository: A folder, or ``host/path`` of a registry; a tag may be added to that, else
                the bento's version is the tag.

        Raises:
            InputError: The context is no bento, or needs more than layers; the base image does
                not fit; the repository is no place for images.
            CoalmineError: The image could not be written; no part of it is visible.
        """
        target = parse_target(repository)
        folder = target if isinstance(target, Path) else self.cache
        facts, entries = read_facts(context), scan(context)
        refuse_secrets(entries, context)
        self._refuse_import_of_models()
        base = self._base(facts, target)
        try:
            if isinstance(target, Path):
                with Assembly(self._wishes(base), facts, context, OciLayout(folder)) as image:
                    return image.write(self.kind.plan(entries))
            layout = OciLayout(folder, durable=False)
            with (
                open_repository(target.repository, self.registry, writes=True) as remote,
                Assembly(self._wishes(base), facts, context, layout, remote) as image,
            ):
                return image.push(image.write(self.kind.plan(entries)), remote, target)
        except OSError as error:
            raise CoalmineError(
                f"the image could not be written to {folder}: {error.strerror or error}",
                fix="make room there or name another repository; no part of the image is visible",
            ) from error

    def _refuse_import_of_models(self) -> None:
        if self.import_seconds and not self.kind.runs:
            raise InputError(
                "an image of models has no service that could be imported",
                field="check_import",
                fix="leave it empty",
            )

    def _wishes(self, base: str) -> Wishes:
        return Wishes(
            self.epoch,
            self.platforms,
            self.compression,
            self.registry,
            base,
            self.base_python,
            self.kind,
            self.import_seconds,
        )

    def _base(self, facts: BentoFacts, target: Path | RemoteReference) -> str:
        """Choose the base image; empty means none."""
        if self.base == NO_BASE:
            return ""
        if not self.kind.runs:
            return self.base or EMBEDDED
        if not self.base and isinstance(target, Path):
            return ""
        if facts.needs:
            raise InputError(
                f"the bento needs more than layers: {'; '.join(facts.needs)}",
                field="builder",
                fix="build the image with --builder buildah",
            )
        if not self.base and not facts.base_image:
            raise InputError(
                f"{facts.name}:{facts.version} names no base image",
                field="base_image",
                fix=f"name one, for example docker.io/library/python:{facts.python or '3.11'}-slim",
            )
        return self.base or full_name(facts.base_image)
