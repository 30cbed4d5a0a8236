"""A model that fails now and then. This file is part of the bento: its model needs it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

__all__ = ["FragileModel"]


class Classifier(Protocol):
    """What can tell species."""

    def predict(self, features: Sequence[Sequence[float]]) -> Sequence[str]:
        """Tell the species of each flower."""


class FragileModel:
    """Wraps a good model and raises on a share of the calls, the same ones at every start.

    Args:
        model: The good model.
        share: How many of the calls fail, 0 to 1.
        seed: Chooses which.
    """

    def __init__(self, model: Classifier, *, share: float, seed: int) -> None:
        self._model = model
        self._share = share
        self._chance = random.Random(seed)  # noqa: S311 - no secret hangs on it

    def predict(self, features: Sequence[Sequence[float]]) -> Sequence[str]:
        """Tell the species of each flower, or fail.

        Raises:
            ArithmeticError: This call is one of the share that fails.
        """
        if self._chance.random() < self._share:
            raise ArithmeticError("the scaler divided by a standard deviation of zero")
        return self._model.predict(features)
