"""Which layers an image of models has, and the small base beneath them.

Source of the places: KServe's modelcar. It runs such an image beside the model server with
``sh -c "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"`` and, before that, with a check
that ``/models`` is there. The image of the package modelcar-base-image has one program and no
shell; it does just that when it is given those words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.images.blobs import Blobs
from coalmine.images.plan import Entry, Kind, Layer, plan_layers, stays_inside

__all__ = ["EMBEDDED", "MODELS_PATH", "embedded_base", "plan_models"]

MODELS_PATH = "models"
"""Where KServe looks for a model; without the first slash, as in a tar."""

EMBEDDED = "modelcar-base-image"
"""Stands for the small base of the package of that name."""

_MODEL = "model "
_SMALL_BLOB = 16 << 20


def plan_models(entries: Iterable[Entry]) -> tuple[Layer, ...]:
    """Give a layer a model: one by itself in ``/models``, several each in a folder of its name.

    Raises:
        InputError: There is no model.
    """
    planned = [layer for layer in plan_layers(entries) if layer.title.startswith(_MODEL)]
    if not planned:
        raise InputError(
            "the bento holds no model, and an image of models was asked for",
            field="kind",
            fix="use --kind bento",
        )
    tags = [layer.title.removeprefix(_MODEL).split(":") for layer in planned]
    names = Counter(name for name, _ in tags)
    return tuple(
        _moved(layer, f"models/{name}/{version}", _place(name, version, names))
        for layer, (name, version) in zip(planned, tags, strict=True)
    )


def embedded_base(blobs: Blobs) -> str:
    """Have the small base among the blobs; its name by digest, which no registry is asked for.

    Raises:
        InputError: The package that holds it is not installed.
    """
    try:
        import modelcar_base_image  # noqa: PLC0415 - an extra
        from modelcar_base_image.constants import (  # noqa: PLC0415
            EMBEDDED_OCI_LAYOUT_DIR,
            ODH_MODELCAR_BASE_IMAGE,
        )
    except ImportError:
        raise InputError(
            "the base for images of models is not installed",
            field="base_image",
            fix='run: pip install "coalmine[modelcar]"; or name a base image, or none',
        ) from None
    layout = Path(str(modelcar_base_image.__file__)).parent / EMBEDDED_OCI_LAYOUT_DIR
    for path in sorted((layout / "blobs" / "sha256").iterdir()):
        if path.stat().st_size < _SMALL_BLOB:
            blobs.add(path.read_bytes())
    digest = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    return f"{str(ODH_MODELCAR_BASE_IMAGE).rpartition(':')[0]}@{digest}"


def _place(name: str, version: str, names: Counter[str]) -> str:
    if sum(names.values()) == 1:
        return MODELS_PATH
    return f"{MODELS_PATH}/{name}" + (f"/{version}" if names[name] > 1 else "")


def _moved(layer: Layer, below: str, root: str) -> Layer:
    """Have a layer's entries, whose paths begin in the bento, begin in the model's folder."""
    entries = tuple(
        replace(entry, path=entry.path.removeprefix(f"{below}/"))
        for entry in layer.entries
        if entry.path.startswith(f"{below}/")
    )
    _refuse_far_links(entries, below)
    return Layer(layer.title, entries, root=root, below=below, owner=0)


def _refuse_far_links(entries: tuple[Entry, ...], below: str) -> None:
    """Refuse a link that stays in the bento, and leads out of the model."""
    for entry in entries:
        if entry.kind is Kind.LINK and not stays_inside(entry.path, entry.target):
            raise InputError(
                f"{below}/{entry.path} is a link to {entry.target}, which leads out of the model",
                fix="build the model with the file itself in place of the link",
            )
