"""Hold an InferenceService against the schema of KServe's CRD.

``inferenceservice.schema.json`` is made from the CRD by ``scripts/compact-crd``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from coalmine.serving.kube.client import Object
from coalmine.serving.kube.schema import validator

__all__ = ["SCHEMA", "faults"]

SCHEMA = Path(__file__).parent / "inferenceservice.schema.json"


def faults(service: Object) -> list[str]:
    """Name what is wrong with an InferenceService, as ``path: what``; nothing if it is right.

    Raises:
        InputError: jsonschema is not installed.
    """
    found = _validator().iter_errors(service)
    return sorted(f"{'.'.join(map(str, e.absolute_path)) or '(root)'}: {e.message}" for e in found)


@cache
def _validator() -> Any:  # noqa: ANN401 - jsonschema has no types
    return validator(json.loads(SCHEMA.read_text()))
