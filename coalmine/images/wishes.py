"""How an image is to be made."""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.images.kinds import ImageKind
from coalmine.images.platforms import Platform
from coalmine.registry.options import RegistryOptions

__all__ = ["Wishes"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How an image is to be made.

    Attributes:
        epoch: The time that files and image get, in seconds since 1970.
        platforms: What it is for.
        compression: Of layers that shrink.
        registry: How registries are reached.
        base: The base image; empty means none.
        base_python: Path of the base's Python; empty means that the base says which it has.
        kind: What it is of.
        import_seconds: How long importing the bento's service may take; 0 means that it is not
            imported.
    """

    epoch: int | None
    platforms: tuple[Platform, ...]
    compression: str
    registry: RegistryOptions
    base: str
    base_python: str
    kind: ImageKind
    import_seconds: float = 0.0
