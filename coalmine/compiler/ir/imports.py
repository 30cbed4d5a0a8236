"""Artifacts from outside: what ``dsl.importer`` says of them. Nothing runs for it."""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.compiler.ir.models import Importer
from coalmine.compiler.ir.placeholders import has_placeholder
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.jsontext import json_text
from coalmine.compiler.value import Constant, Imported, Value

__all__ = ["imported", "is_remote"]

URI = "uri"


def is_remote(value: Value) -> bool:
    """Tell whether an artifact may be anything but a file that is where it is used."""
    if not isinstance(value, Imported):
        return False
    return not isinstance(value.uri, Constant) or not value.uri.value.startswith("/")


def imported(importer: Importer, arguments: Mapping[str, Value], *, task: str) -> Imported:
    """Read an importer as the artifact that it gives.

    Args:
        importer: As the IR has it.
        arguments: What the importer's inputs are given.
        task: Its name, for errors.

    Raises:
        InputError: It asks for something that only KFP can do.
    """
    uri = arguments.get(URI) or Constant(importer.artifact_uri.constant or "")
    if isinstance(uri, Imported) or uri == Constant(""):
        raise unsupported(task, "an importer without a URI", fix="give artifact_uri a text")
    metadata = json_text(dict(importer.metadata))
    if has_placeholder(metadata):
        raise unsupported(
            task, "an importer whose metadata is made of parameters", fix="give it constants"
        )
    schema = importer.type_schema
    return Imported(uri, schema.schema_title, schema.schema_version, metadata)
