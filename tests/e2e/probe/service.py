"""The bento of these tests: it repeats a word, but for those that its model fails on."""

from __future__ import annotations

import json
from pathlib import Path

import bentoml


@bentoml.service(name="probe", workers=1, logging={"access": {"enabled": False}})
class Probe:
    stored = bentoml.models.BentoModel("probe_model:latest")

    def __init__(self) -> None:
        model = json.loads(Path(self.stored.path_of("model.json")).read_text())
        self._failing = frozenset(model["failing"])

    @bentoml.api
    def answer(self, word: str) -> str:
        if word in self._failing:
            raise ArithmeticError(word)
        return word
