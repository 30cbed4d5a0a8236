from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    for wrong in ("predict {}", "/../x {}", "/a?b=1 {}", "/a%2e%2e {}", "/predict NaN"):
        with pytest.raises(InputError, match="probe"):
            parse_prediction(wrong)


CLIMBING = st.lists(
    st.sampled_from(
        ["a", "..", ".", "", "%2e%2e", "..;", "a:b", "?x", "#", "\\", "a b", "\n", "v1"]
    )
).map(lambda parts: "/" + "/".join(parts))


@given(path=CLIMBING)
@settings(max_examples=200)
def test_a_page_leads_the_release_nowhere_but_to_its_own_pod(path: str) -> None:
    post: dict[str, Any] = {"requestBody": {"content": {"application/json": {"example": {}}}}}
    found = example_of({"paths": {path: {"post": post}}})
    if found is None:
        return
    base = "/api/v1/namespaces/ml/pods/p:3000/proxy"
    with httpx2.Client(base_url="https://cluster.test") as client:
        url = client.build_request("POST", base + found.path, params={}).url
    assert url.raw_path.decode() == base + path


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "paths",
                    "/p",
                    "post",
                    "requestBody",
                    "content",
                    "application/json",
                    "schema",
                    "$ref",
                    "properties",
                    "required",
                    "example",
                    "examples",
                    "default",
                    "value",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(media=JSON_VALUES, rest=JSON_VALUES)
@settings(max_examples=150)
def test_whatever_a_page_holds_is_an_example_or_none(media: Any, rest: Any) -> None:
    page = {"paths": {"/bad": rest, "/p": {"post": {"requestBody": {"content": rest}}}}}
    example_of(page)
    example_of(_page({"schema": media}) if not isinstance(media, dict) else _page(media))


def test_a_schema_that_holds_itself_many_times_is_given_up() -> None:
    itself = {"$ref": "#/components/schemas/Node"}
    node = {"properties": dict.fromkeys("abc", itself), "required": ["a"]}
    page = _page({"schema": itself}, components={"schemas": {"Node": node}})
    assert example_of(page) is None


@pytest.mark.parametrize("body", [float("nan"), "\ud800"])
def test_an_example_that_cannot_be_sent_is_none(body: Any) -> None:
    assert example_of(_page({"example": body})) is None
