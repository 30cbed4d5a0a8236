"""Text to plain data: YAML, with a duplicate key taken as the error it is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from coalmine._base.errors import InputError

__all__ = ["load_documents"]


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a mapping that says the same key twice, where YAML would keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} stands here twice", key.start_mark
            )
        seen.add(key.value)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _mapping(loader, node, deep=True),
)


def load_documents(text: str) -> list[dict[str, Any]]:
    """Read every non-empty YAML document of a text; each must be a mapping.

    Raises:
        InputError: It is no YAML, or a document is something else than a mapping.
    """
    try:
        documents = [item for item in yaml.load_all(text, _Loader) if item is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"is no YAML: {' '.join(str(error).split())}", fix="compile the pipeline again"
        ) from None
    if not documents or not all(isinstance(item, dict) for item in documents):
        raise InputError(
            "holds no compiled pipeline", fix="give a file that the KFP compiler has written"
        )
    return documents
