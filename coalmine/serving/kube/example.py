"""A real prediction to ask of a canary: the bento's own example, as its OpenAPI page has it. Pure.

The page is the word of a version that nobody has judged yet. The request is made with the release's
own rights at the API server, below the path of the pod: a path that leads out of there would have
the release do whatever the canary likes.

BentoML serves the page at ``/docs.json``; an example stands where the service's input has one
(docs.bentoml.com, "Input and output types"), as OpenAPI 3 has it: ``example``, ``examples`` or
the schema's own, of the body or of each property; a property may have a ``default`` as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError

__all__ = ["Prediction", "example_of", "parse_prediction"]

JSON = "application/json"
_NONE = object()
PLAIN = re.compile(r"(/(?!\.{1,2}(/|$))[^/?#%{}\\\s\x00-\x1f]+)+")
"""A path that means the same to whoever reads it: no dots that climb, no escapes, no query."""
PARTS = 200
"""Schemas that are looked at for one example: one may hold itself, or another many times over."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One request.

    Attributes:
        path: Below the service's root; `PLAIN`.
        body: What is posted, as JSON.

    Raises:
        InputError: The path is not plain, or the body cannot be sent.
    """

    path: str
    body: Any

    def __post_init__(self) -> None:
        if not PLAIN.fullmatch(self.path):
            raise InputError(
                f"{self.path!r} is no plain path",
                field="probe",
                fix="begin it with /, and leave out ?, #, %, spaces, . and ..",
            )
        try:
            json.dumps(self.body, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise InputError(f"cannot be sent as JSON: {error}", field="probe") from None


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
    for path, operations in _object(openapi.get("paths")).items():
        post = _object(_object(operations).get("post"))
        content = _object(_object(post.get("requestBody")).get("content"))
        body = _Reader(openapi).example(_object(content.get(JSON)))
        if body is not _NONE:
            with suppress(InputError):
                return Prediction(path, body)
    return None


class _Reader:
    def __init__(self, openapi: Mapping[str, Any]) -> None:
        self._openapi = openapi
        self._parts = iter(range(PARTS))

    def example(self, node: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        if "example" in node:
            return node["example"]
        if found := _object(node.get("examples")):
            return _object(next(iter(found.values()))).get("value", _NONE)
        return self._of_schema(_object(node.get("schema")))

    def _of_schema(self, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        if next(self._parts, None) is None:
            return _NONE
        schema = self._resolved(given)
        if "example" in schema:
            return schema["example"]
        if isinstance(examples := schema.get("examples"), list) and examples:
            return examples[0]
        if "default" in schema:
            return schema["default"]
        return self._of_properties(schema)

    def _of_properties(self, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        parts = _object(schema.get("properties"))
        made = {name: self._of_schema(_object(part)) for name, part in parts.items()}
        whole = {name: value for name, value in made.items() if value is not _NONE}
        needed = schema.get("required", list(parts))
        if not parts or not isinstance(needed, list):
            return _NONE
        return whole if all(name in list(whole) for name in needed) else _NONE

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: Any = self._openapi
        for part in reference[2:].split("/"):
            found = _object(found).get(part)
        return _object(found)


def _object(found: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """Take what should be an object, and is whatever the page says."""
    return found if isinstance(found, Mapping) else {}
