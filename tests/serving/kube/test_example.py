from __future__ import annotations

from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.serving.kube.example import Prediction, example_of, parse_prediction


def _page(media: dict[str, Any], **rest: Any) -> dict[str, Any]:
    post = {"requestBody": {"content": {"application/json": media}}}
    return {"paths": {"/readyz": {"get": {}}, "/predict": {"post": post}}, **rest}


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ({"example": {"x": 1}}, {"x": 1}),
        ({"examples": {"one": {"value": {"x": 2}}}}, {"x": 2}),
        ({"schema": {"example": {"x": 3}}}, {"x": 3}),
        (
            {"schema": {"properties": {"x": {"examples": [4]}, "y": {}}, "required": ["x"]}},
            {"x": 4},
        ),
        ({"schema": {"$ref": "#/components/schemas/In"}}, {"x": 5}),
    ],
)
def test_an_example_is_found(media: dict[str, Any], body: Any) -> None:
    page = _page(media, components={"schemas": {"In": {"properties": {"x": {"default": 5}}}}})
    assert example_of(page) == Prediction("/predict", body)


@pytest.mark.parametrize("schema", [{}, {"properties": {"x": {"type": "array"}}}])
def test_half_an_example_is_none(schema: dict[str, Any]) -> None:
    assert example_of(_page({"schema": schema})) is None


def test_a_prediction_is_given_as_path_and_json() -> None:
    assert parse_prediction('/predict {"x": [1, 2]}') == Prediction("/predict", {"x": [1, 2]})
    assert parse_prediction("") is None
    with pytest.raises(InputError, match="probe"):
        parse_prediction("/predict")
