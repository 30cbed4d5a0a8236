"""A real prediction to ask of a canary: the bento's own example, as its OpenAPI page has it. Pure.

BentoML serves the page at ``/docs.json``; an example stands where the service's input has one
(docs.bentoml.com, "Input and output types"), as OpenAPI 3 has it: ``example``, ``examples`` or
the schema's own, of the body or of each property; a property may have a ``default`` as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError

__all__ = ["Prediction", "example_of", "parse_prediction"]

JSON = "application/json"
_NONE = object()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One request.

    Attributes:
        path: Below the service's root.
        body: What is posted, as JSON.
    """

    path: str
    body: Any


def parse_prediction(text: str) -> Prediction | None:
    """Read the setting: ``PATH JSON``, for example ``/predict {"x": [1, 2]}``; empty is None.

    Raises:
        InputError: It is not that.
    """
    if not text.strip():
        return None
    path, _, body = text.strip().partition(" ")
    try:
        return Prediction(path, json.loads(body))
    except ValueError:
        raise InputError(
            f"{text!r} is no path with a JSON body",
            field="probe",
            fix='give for example: /predict {"x": [1, 2]}',
        ) from None


def example_of(openapi: Mapping[str, Any]) -> Prediction | None:
    """Find the first operation with a whole example input; None if there is none."""
    for path, operations in (openapi.get("paths") or {}).items():
        content = (operations.get("post") or {}).get("requestBody", {}).get("content", {})
        if JSON in content:
            body = _example(content[JSON], openapi)
            if body is not _NONE:
                return Prediction(path, body)
    return None


def _example(node: Mapping[str, Any], openapi: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if "example" in node:
        return node["example"]
    found = node.get("examples")
    if isinstance(found, Mapping) and found:
        return next(iter(found.values())).get("value")
    schema = _resolved(node.get("schema") or {}, openapi)
    return _of_schema(schema, openapi)


def _of_schema(schema: Mapping[str, Any], openapi: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    properties = schema.get("properties")
    if not properties:
        return _NONE
    made = {
        name: _of_schema(_resolved(part, openapi), openapi) for name, part in properties.items()
    }
    needed = schema.get("required", list(properties))
    if any(made.get(name, _NONE) is _NONE for name in needed):
        return _NONE
    return {name: value for name, value in made.items() if value is not _NONE}


def _resolved(schema: Mapping[str, Any], openapi: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    if not reference.startswith("#/"):
        return schema
    found: Any = openapi
    for part in reference[2:].split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}
