"""What lies beneath a bento's layers: an image with Python. Pure: bytes in, facts out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.images.config import Below, Blob, LayerBlob
from coalmine.images.platforms import Platform
from coalmine.registry.address import RemoteReference, Repository
from coalmine.registry.digest import is_digest

__all__ = ["BaseImage", "Python", "check_python", "choose_platform", "find_python", "read_base"]

_INDEX_TYPES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
# Docker's layers are OCI's under another name, byte for byte.
_LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": (
        "application/vnd.oci.image.layer.v1.tar+gzip"
    ),
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}
_FIELD = "base_image"


@dataclass(frozen=True, slots=True)
class Python:
    """A Python in an image.

    Attributes:
        version: Major and minor: ``3.11``.
        program: Its path: ``/usr/local/bin/python3.11``.
    """

    version: str
    program: str


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image to build upon, for one platform.

    Attributes:
        repository: Where its layers are.
        name: What was asked for, for annotations.
        digest: Of what was asked for: of the index if it is one.
        layers: The lowest first.
        below: What it brings along.
    """

    repository: Repository
    name: str
    digest: str
    layers: tuple[LayerBlob, ...]
    below: Below


def choose_platform(content: bytes, media_type: str, platform: Platform, name: str) -> str:
    """Find the digest of a platform's image in an index; empty if it is no index.

    Raises:
        InputError: There is none for the platform, or the index cannot be read.
    """
    if media_type not in _INDEX_TYPES:
        return ""
    found: dict[str, str] = {}
    try:
        for item in json.loads(content)["manifests"]:
            about = item.get("platform") or {}
            found.setdefault(f"{about.get('os')}/{about.get('architecture')}", item["digest"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(f"{name} is no image", field=_FIELD) from None
    if str(platform) not in found:
        raise _wrong_platform(name, platform, found)
    return found[str(platform)]


def read_base(
    asked: RemoteReference, digest: str, manifest: bytes, config: bytes, *, on: Platform
) -> BaseImage:
    """Read a base image.

    Args:
        asked: What was asked for.
        digest: Of what was asked for.
        manifest: Its image manifest.
        config: Its image configuration.
        on: The platform that it must be for.

    Raises:
        InputError: It is for another platform, or is no image.
    """
    name = str(asked)
    try:
        layers, about = json.loads(manifest)["layers"], json.loads(config)
        diff_ids = about["rootfs"]["diff_ids"]
        system = f"{about['os']}/{about['architecture']}"
        runs = about.get("config") or {}
        env = [str(item).partition("=") for item in runs.get("Env") or ()]
        entrypoint = tuple(str(word) for word in runs.get("Entrypoint") or ())
        stacked = [
            LayerBlob("", _blob(item), diff_id, _type(item["mediaType"]))
            for item, diff_id in zip(layers, diff_ids, strict=True)
        ]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise InputError(f"{name} is no image", field=_FIELD) from None
    if system != str(on):
        raise _wrong_platform(name, on, {system: ""})
    pairs = tuple((key, value) for key, _, value in env)
    history = tuple(about.get("history") or ())
    below = Below(pairs, history, name, digest, entrypoint)
    return BaseImage(asked.repository, name, digest, tuple(stacked), below)


def _blob(item: Mapping[str, Any]) -> Blob:
    if not is_digest(item["digest"]):
        raise ValueError
    return Blob(item["digest"], item["size"])


def find_python(base: BaseImage, program: str) -> Python:
    """Find out which Python a base image has, without a look into its layers.

    Args:
        base: The image. The official Python images, and many made like them, say their version in
            the variable ``PYTHON_VERSION``.
        program: The path of its Python, if the user says it: ``/usr/bin/python3.11``.

    Raises:
        InputError: Nothing says that there is one.
    """
    if program:
        named = re.fullmatch(r"(?:/[\w.+-]+)+/python(3\.[0-9]{1,2})", program)
        if named is None:
            raise InputError(
                f"{program!r} is no absolute path of a Python with its version",
                field="COALMINE_BASE_PYTHON",
                fix="give for example /usr/bin/python3.11",
            )
        return Python(named.group(1), program)
    said = re.match(r"3\.[0-9]{1,2}(?=\.|$)", dict(base.below.env).get("PYTHON_VERSION", ""))
    if said is None:
        raise InputError(
            f"nothing in {base.name} says that it has Python",
            field=_FIELD,
            fix="use one of the official python images; or, if it has one, set "
            "COALMINE_BASE_PYTHON to its path, for example /usr/bin/python3.11",
        )
    return Python(said.group(), f"/usr/local/bin/python{said.group()}")


def check_python(python: Python, wanted: str, name: str) -> None:
    """Refuse a base whose Python is not the one that the bento was made for.

    Raises:
        InputError: It is another one.
    """
    if wanted and python.version != wanted:
        raise InputError(
            f"{name} has Python {python.version}, and the bento wants {wanted}",
            field=_FIELD,
            fix=f"use a base image with Python {wanted}",
        )


def _type(media_type: str) -> str:
    return _LAYER_TYPES.get(media_type, media_type)


def _wrong_platform(name: str, wanted: Platform, found: Mapping[str, str]) -> InputError:
    there = ", ".join(sorted(system for system in found if "unknown" not in system))
    return InputError(
        f"{name} is not for {wanted}, only for {there or 'no platform that is known'}",
        field=_FIELD,
        fix="use another base image, or other platforms",
    )
