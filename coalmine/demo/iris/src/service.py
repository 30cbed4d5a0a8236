"""Tells the species of irises. This file is part of the bento."""

from __future__ import annotations

import bentoml
import joblib


@bentoml.service(name="iris_classifier", workers=1, logging={"access": {"enabled": False}})
class IrisClassifier:
    """Answers with the species of each flower."""

    stored = bentoml.models.BentoModel("iris_model:latest")

    def __init__(self) -> None:
        self._model = joblib.load(self.stored.path_of("model.joblib"))

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, features: list[list[float]]) -> list[str]:
        """Tell species from sepal length and width, petal length and width, in centimetres."""
        return [str(species) for species in self._model.predict(features)]
