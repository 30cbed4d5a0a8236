"""Build: a build context becomes an image, by digest."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.images.bento import read_facts
from coalmine.images.compression import COMPRESSIONS
from coalmine.images.epoch import source_date
from coalmine.images.importing import import_seconds
from coalmine.images.kinds import MODEL, find_kind
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import parse_platforms
from coalmine.images.protocol import Builder, BuiltImage
from coalmine.images.reference import parse_target
from coalmine.registry.options import options_from
from coalmine.stack.layout import Layout
from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.stores.reference import open_context

__all__ = ["STEP", "BuildInputs", "BuildOutputs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What to build, where to, and with what."""

    context: str = given("Reference to the build context, as the retrieve step gives it.")
    repository: str = optional(
        "Where the image goes: host/path of a registry, a folder or an oci-layout:// URL; "
        "empty means a folder a bento in the state.",
        setting=True,
    )
    base_image: str = optional(
        "What the image is built upon, or 'none'; empty means what the bento names, "
        "and none where the image goes to a folder.",
        setting=True,
    )
    platforms: str = optional(
        "What the image is for: linux/amd64, linux/arm64 or both with a comma between; "
        "empty means this machine's.",
        setting=True,
    )
    compression: str = optional(
        "How layers that shrink are packed: 'zstd' or 'gzip'.", "zstd", setting=True
    )
    builder: str = optional(
        "What makes the image: 'layered', or 'buildah', 'buildkit' or 'kaniko' for a full build of "
        "its Dockerfile.",
        "layered",
        setting=True,
    )
    kind: str = optional(
        "What the image is of: 'bento', or 'model' for its models alone, as KServe takes them by "
        "oci://.",
        "bento",
    )
    sign: str = optional(
        "What signs the image: a file with a private key, a KMS reference of cosign's, or "
        "'keyless'; empty means that it is not signed.",
        setting=True,
    )
    check_import: str = optional(
        "How many seconds importing the bento's service may take, which is tried with the image's "
        "packages; empty means that it is not imported.",
        setting=True,
    )


@dataclass(frozen=True, slots=True)
class BuildOutputs:
    """The image: its reference by digest, where it is without that, and that digest alone."""

    image: str
    image_url: str
    image_digest: str


def build(inputs: BuildInputs, surroundings: Surroundings) -> BuildOutputs:
    """Build the image; if it is there already, find that out and write nothing."""
    layout = Layout(surroundings.state.absolute())
    context = open_context(inputs.context, layout.contexts)
    own = layout.images / read_facts(context).name
    builder = _builder(inputs, own)
    repository = inputs.repository or str(own)
    if inputs.sign:
        _check_sign(inputs.sign, repository)
    began = time.monotonic()
    image = builder.build(context, repository)
    if inputs.sign:
        _sign(image, inputs.sign)
    _report(image, time.monotonic() - began)
    return BuildOutputs(image.reference, image.url, image.digest)


def _check_sign(key: str, repository: str) -> None:
    """Refuse now what could not be signed later: an image that is pushed can be pulled unsigned."""
    from coalmine.images.sign import check_key  # noqa: PLC0415 - seldom used

    if isinstance(parse_target(repository), Path):
        raise InputError(
            f"{repository} is a folder, and images are signed in a registry",
            field="sign",
            fix="leave it empty, or give a repository in a registry",
        )
    check_key(key)


def _sign(image: BuiltImage, key: str) -> None:
    from coalmine.images.sign import sign_image  # noqa: PLC0415 - seldom used
    from coalmine.registry.address import parse_remote  # noqa: PLC0415

    sign_image(parse_remote(image.reference), key, options_from(os.environ))


def _layered(inputs: BuildInputs, cache: Path) -> Builder:
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


def _buildah(inputs: BuildInputs, cache: Path) -> Builder:
    from coalmine.images.buildah import BuildahBuilder  # noqa: PLC0415 - seldom used

    _refuse_what_is_layered(inputs)
    return BuildahBuilder(
        storage=cache.parent / ".buildah",
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        registry=options_from(os.environ),
    )


def _buildkit(inputs: BuildInputs, _: Path) -> Builder:
    from coalmine.images.buildkit import BuildkitBuilder  # noqa: PLC0415 - seldom used

    _refuse_what_is_layered(inputs)
    return BuildkitBuilder(
        platforms=parse_platforms(inputs.platforms) if inputs.platforms else (),
        epoch=source_date(os.environ.get("SOURCE_DATE_EPOCH", "")),
        registry=options_from(os.environ),
    )


def _kaniko(inputs: BuildInputs, cache: Path) -> Builder:
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


_BUILDERS: dict[str, Callable[[BuildInputs, Path], Builder]] = {
    "layered": _layered,
    "buildah": _buildah,
    "buildkit": _buildkit,
    "kaniko": _kaniko,
}


def _builder(inputs: BuildInputs, cache: Path) -> Builder:
    if inputs.builder not in _BUILDERS:
        raise InputError(
            f"there is no builder {inputs.builder!r}",
            field="builder",
            fix=f"use one of: {', '.join(_BUILDERS)}",
        )
    return _BUILDERS[inputs.builder](inputs, cache)


def _report(image: BuiltImage, seconds: float) -> None:
    moved = image.written_bytes + image.sent_bytes
    # A full build does not tell what it found; it has built in any case.
    there = image.reused_bytes > 0 and not moved
    sizes = {
        "written_bytes": image.written_bytes,
        "reused_bytes": image.reused_bytes,
        "sent_bytes": image.sent_bytes,
    }
    logger.info(
        "image was there already" if there else "image built",
        extra={
            "image": image.reference,
            **(sizes if there or moved else {}),
            "seconds": round(seconds, 3),
        },
    )


STEP = Step(
    name="build",
    summary="Build a bento's OCI image, layer by layer; the same bento gives the same digest.",
    inputs=BuildInputs,
    outputs=BuildOutputs,
    run=build,
)
