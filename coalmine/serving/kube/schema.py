"""Hold objects against JSON schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine._base.errors import InputError

__all__ = ["validator"]


def validator(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - jsonschema has no types
    """Give what holds a template against a schema of draft 7.

    Raises:
        InputError: jsonschema is not installed.
    """
    try:
        from jsonschema import Draft7Validator  # noqa: PLC0415 - only where a template is read
    except ImportError:
        raise InputError(
            "jsonschema is not installed",
            field="template",
            fix="pip install 'coalmine[kubernetes]'",
        ) from None
    return Draft7Validator(schema)
