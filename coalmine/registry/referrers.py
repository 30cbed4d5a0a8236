"""What is said of an image beside it: manifests whose subject it is.

Source: distribution specification 1.1, "Listing referrers" and "Referrers tag schema": a registry
that knows no referrers has them in an index under a tag that is made of the subject's digest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from coalmine._base.errors import CoalmineError
from coalmine.registry.client import Manifest, RemoteRepository

__all__ = ["INDEX_TYPE", "list_referrers", "push_referrers", "with_referrer"]

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_FOUND = frozenset({200, 404})
_AT_ONCE = 4


def list_referrers(remote: RemoteRepository, subject: str) -> tuple[dict[str, Any], ...]:
    """List the descriptors of what refers to a manifest.

    Args:
        remote: The repository.
        subject: The manifest's digest.

    Raises:
        CoalmineError: The registry cannot be asked, or its answer cannot be read.
    """
    answer = remote.ask("GET", f"referrers/{subject}", _FOUND, INDEX_TYPE)
    is_index = answer.headers.get("Content-Type", "").startswith(INDEX_TYPE)
    if answer.status_code == 200 and is_index:  # noqa: PLR2004 - of HTTP
        return _descriptors(answer.content)
    index = remote.pull_manifest(_tag(subject))
    return _descriptors(index.content) if index else ()


def push_referrers(remote: RemoteRepository, manifests: Sequence[Manifest], subject: str) -> None:
    """Store manifests that have a subject, so that they are listed with it.

    Args:
        remote: The repository.
        manifests: Image manifests whose ``subject`` is set.
        subject: The digest of that.

    Raises:
        CoalmineError: One could not be stored.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(remote.push_manifest, manifests))
    unlisted = [
        one for one, said in zip(manifests, answers, strict=True) if "OCI-Subject" not in said
    ]
    if not unlisted:
        return
    # Two writers at once could lose one here, as the specification says; nothing better exists.
    before = remote.pull_manifest(_tag(subject))
    after = before.content if before else b'{"manifests": []}'
    for one in unlisted:
        after = with_referrer(_descriptors(after), one)
    if before is None or after != before.content:
        remote.push_manifest(Manifest(after, INDEX_TYPE), _tag(subject))


def with_referrer(known: tuple[dict[str, Any], ...], manifest: Manifest) -> bytes:
    """Write the index of a subject's referrers with one more. Pure."""
    content = json.loads(manifest.content)
    entry = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": content.get("artifactType") or content["config"]["mediaType"],
        "annotations": content.get("annotations", {}),
    }
    others = [item for item in known if item.get("digest") != manifest.digest]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others, entry]}
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode()


def _tag(subject: str) -> str:
    return subject.replace(":", "-")


def _descriptors(index: bytes) -> tuple[dict[str, Any], ...]:
    try:
        found = json.loads(index)["manifests"]
        return tuple(dict(item) for item in found)
    except (ValueError, RecursionError, KeyError, TypeError):
        raise CoalmineError("the registry's list of referrers cannot be read") from None
