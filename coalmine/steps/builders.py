"""Which builder makes the image, and what it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.images.compression import COMPRESSIONS
from coalmine.images.epoch import source_date
from coalmine.images.importing import import_seconds
from coalmine.images.kinds import MODEL, find_kind
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import parse_platforms
from coalmine.images.protocol import Builder
from coalmine.registry.options import options_from

if TYPE_CHECKING:
    from coalmine.images.kaniko import Source
    from coalmine.steps.build import BuildInputs

__all__ = ["KANIKO", "select_builder"]

KANIKO = "kaniko"


def _layered(inputs: BuildInputs, cache: Path, _: Source | None) -> Builder:
    if inputs.compression not in COMPRESSIONS:
        raise InputError(
            f"{inputs.compression!r} is no compression of layers",
            field="compression",
            fix=f"use one of: {', '.join(COMPRESSIONS)}",
        )
    return LayeredBuilder(
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        compression=inputs.compression,
        cache=cache,
        registry=options_from(os.environ),
        platforms=parse_platforms(inputs.platforms),
        base=inputs.base_image,
        base_python=os.environ.get("COALMINE_BASE_PYTHON", ""),
        kind=find_kind(inputs.kind),
        import_seconds=import_seconds(inputs.check_import),
    )


def _buildah(inputs: BuildInputs, cache: Path, _: Source | None) -> Builder:
    from coalmine.images.buildah import BuildahBuilder  # noqa: PLC0415 - seldom used

    _refuse_what_is_layered(inputs)
    return BuildahBuilder(
        storage=cache.parent / ".buildah",
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        registry=options_from(os.environ),
    )


def _buildkit(inputs: BuildInputs, _: Path, __: Source | None) -> Builder:
    from coalmine.images.buildkit import BuildkitBuilder  # noqa: PLC0415 - seldom used

    _refuse_what_is_layered(inputs)
    return BuildkitBuilder(
        platforms=parse_platforms(inputs.platforms) if inputs.platforms else (),
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        registry=options_from(os.environ),
    )


def _kaniko(inputs: BuildInputs, cache: Path, source: Source | None) -> Builder:
    from coalmine.images.kaniko import KanikoBuilder  # noqa: PLC0415 - seldom used

    _refuse_what_is_layered(inputs)
    platforms = parse_platforms(inputs.platforms)
    if len(platforms) > 1:
        raise InputError(
            "kaniko builds for one platform at a time",
            field="platforms",
            fix="name one, or use --builder layered or buildkit",
        )
    return KanikoBuilder(
        scratch=cache.parent / ".kaniko",
        platform=platforms[0] if inputs.platforms else None,
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        registry=options_from(os.environ),
        source=source,
    )


def _refuse_what_is_layered(inputs: BuildInputs) -> None:
    if inputs.check_import:
        raise InputError(
            f"{inputs.builder} has no packages at hand that the service could be imported with",
            field="check_import",
            fix="leave it empty, or use --builder layered",
        )
    if find_kind(inputs.kind) is MODEL:
        raise InputError(
            f"{inputs.builder} builds the Dockerfile of a bento, and no image of models",
            field="kind",
            fix="use --builder layered for it",
        )


_BUILDERS: dict[str, Callable[[BuildInputs, Path, Source | None], Builder]] = {
    "layered": _layered,
    "buildah": _buildah,
    "buildkit": _buildkit,
    KANIKO: _kaniko,
}


def select_builder(inputs: BuildInputs, cache: Path, source: Source | None) -> Builder:
    """Make the builder that is asked for.

    Args:
        inputs: The build step's.
        cache: A folder for what is kept between builds of one bento.
        source: Where the context is, if the builder can fetch it itself.

    Raises:
        InputError: There is no such builder, or it cannot do what is asked for.
    """
    if inputs.builder not in _BUILDERS:
        raise InputError(
            f"there is no builder {inputs.builder!r}",
            field="builder",
            fix=f"use one of: {', '.join(_BUILDERS)}",
        )
    return _BUILDERS[inputs.builder](inputs, cache, source)
