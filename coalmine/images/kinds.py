"""What an image is of: a whole bento, or its models alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from coalmine._base.errors import InputError
from coalmine.images.bento import BentoFacts
from coalmine.images.config import Below, LayerBlob, config_bytes, model_config_bytes
from coalmine.images.models import plan_models
from coalmine.images.plan import Entry, Layer, plan_layers

__all__ = ["BENTO", "MODEL", "ImageKind", "find_kind"]


class _Configure(Protocol):
    def __call__(
        self,
        facts: BentoFacts,
        layers: list[LayerBlob],
        *,
        created: datetime,
        architecture: str,
        below: Below,
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ImageKind:
    """One kind of image.

    Attributes:
        name: What it is called.
        plan: Deals the bento's entries out to layers.
        configure: Makes the image's configuration.
        tag: Stands behind the bento's version in the image's tag.
        runs: Whether the bento runs in it, on the Python and the packages beneath.
    """

    name: str
    plan: Callable[[Iterable[Entry]], tuple[Layer, ...]]
    configure: _Configure
    tag: str
    runs: bool


BENTO = ImageKind("bento", plan_layers, config_bytes, "", runs=True)
MODEL = ImageKind("model", plan_models, model_config_bytes, "-model", runs=False)


def find_kind(name: str) -> ImageKind:
    """Find a kind by its name.

    Raises:
        InputError: There is none.
    """
    kinds = {kind.name: kind for kind in (BENTO, MODEL)}
    if name not in kinds:
        raise InputError(
            f"there is no kind of image {name!r}",
            field="kind",
            fix=f"use one of: {', '.join(kinds)}",
        )
    return kinds[name]
