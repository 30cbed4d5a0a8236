"""Build: a build context becomes an image, by digest."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.images.bento import read_facts
from coalmine.images.protocol import BuiltImage
from coalmine.images.reference import parse_target
from coalmine.registry.options import options_from
from coalmine.stack.layout import Layout
from coalmine.steps.builders import KANIKO, select_builder
from coalmine.steps.contract import Step, Surroundings, given, optional
from coalmine.stores.reference import open_context

if TYPE_CHECKING:
    from coalmine.stores.in_bucket import InBucket

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
    context, source = _opened(inputs, layout.contexts)
    own = layout.images / read_facts(context).name
    builder = select_builder(inputs, own, source)
    repository = inputs.repository or str(own)
    if inputs.sign:
        _check_sign(inputs.sign, repository)
    began = time.monotonic()
    image = builder.build(context, repository)
    if inputs.sign:
        _sign(image, inputs.sign)
    _report(image, time.monotonic() - began)
    return BuildOutputs(image.reference, image.url, image.digest)


def _opened(inputs: BuildInputs, contexts: Path) -> tuple[Path, InBucket | None]:
    """Have the context here; and say where it is, for a builder that fetches it itself."""
    if inputs.builder == KANIKO and inputs.context.startswith("s3://"):
        from coalmine.stores.in_bucket import open_in_bucket  # noqa: PLC0415 - seldom used

        return open_in_bucket(inputs.context, contexts)
    return open_context(inputs.context, contexts), None


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
