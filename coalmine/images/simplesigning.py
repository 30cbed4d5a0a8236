"""What a signature of an image says, and the manifest that carries signatures. Pure.

Source: cosign's SIGNATURE_SPEC.md. The payload is JSON that names the image; its signature, by
ECDSA over SHA-256 in DER and base64, is an annotation of the payload's descriptor; the manifest
lies under the tag ``sha256-DIGEST.sig``. A ``subject`` makes it a referrer of the image too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.images.config import CONFIG_TYPE, MANIFEST_TYPE, Blob, canonical, descriptor
from coalmine.registry.digest import digest_of

__all__ = [
    "SIGNATURE",
    "SIGNATURES_TYPE",
    "Signatures",
    "payload",
    "read_signed",
    "signature_tag",
    "with_signature",
]

SIGNATURE = "dev.cosignproject.cosign/signature"
SIGNATURES_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"


@dataclass(frozen=True, slots=True)
class Signatures:
    """All signatures of one image, as they are stored.

    Attributes:
        config: The configuration's bytes.
        manifest: The manifest's bytes.
    """

    config: bytes
    manifest: bytes


def payload(repository: str, digest: str) -> bytes:
    """Write what is signed: which image, and by what name."""
    critical = {
        "identity": {"docker-reference": repository},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return canonical({"critical": critical, "optional": None})


def signature_tag(digest: str) -> str:
    """Give the tag under which an image's signatures lie."""
    return f"{digest.replace(':', '-')}.sig"


def read_signed(manifest: bytes) -> tuple[Mapping[str, Any], ...]:
    """Read the descriptors of what was signed before.

    Raises:
        InputError: It is no manifest of signatures.
    """
    try:
        layers = tuple(json.loads(manifest)["layers"])
        kinds = {item["mediaType"] for item in layers}
    except (ValueError, KeyError, TypeError):
        kinds = {""}
    if kinds - {_PAYLOAD_TYPE}:
        raise InputError(
            "under the tag of the image's signatures lies something else",
            field="sign",
            fix="delete that tag (sha256-....sig) in the registry",
        )
    return layers


def with_signature(
    before: Sequence[Mapping[str, Any]], said: bytes, signature: str, subject: Blob, kind: str
) -> Signatures:
    """Write the manifest of an image's signatures with one more.

    Args:
        before: The descriptors of those before.
        said: What was signed.
        signature: Its signature, in base64.
        subject: The image's manifest or index.
        kind: The media type of that.
    """
    new = descriptor(_PAYLOAD_TYPE, Blob(digest_of(said), len(said)))
    layers = [*before, new | {"annotations": {SIGNATURE: signature}}]
    diff_ids = [item["digest"] for item in layers]
    config = canonical(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": SIGNATURES_TYPE,
        "config": descriptor(CONFIG_TYPE, Blob(digest_of(config), len(config))),
        "layers": layers,
        "subject": descriptor(kind, subject),
    }
    return Signatures(config, canonical(manifest))
