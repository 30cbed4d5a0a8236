"""What is said of an image beside it: what is in it, and how it was made. Pure.

Sources: CycloneDX 1.5 (JSON); in-toto Statement v1 with SLSA provenance v1; for the manifests that
carry them, OCI image specification 1.1, "Guidelines for artifact usage". Nothing here tells the
time of the build, so that the same image gets the same statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import coalmine
from coalmine.images.bento import BentoFacts
from coalmine.images.config import MANIFEST_TYPE, Below, Blob, canonical, descriptor
from coalmine.images.install import Package
from coalmine.registry.digest import digest_of

__all__ = ["EMPTY", "Statement", "bill_of_materials", "provenance", "referrer_bytes"]

EMPTY = b"{}"
"""The configuration of a manifest that needs none."""

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_CYCLONEDX = "application/vnd.cyclonedx+json"
_IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that is said of an image.

    Attributes:
        media_type: What it is.
        content: Its bytes.
    """

    media_type: str
    content: bytes


def bill_of_materials(
    facts: BentoFacts, packages: Iterable[Package], models: Sequence[str], below: Below
) -> Statement:
    """List what is in an image: packages, models (``name:version``) and the base image."""
    listed = [
        {
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{_normal(package.name)}@{package.version}",
        }
        for package in sorted(set(packages))
    ]
    for model in sorted(models):
        name, _, version = model.partition(":")
        listed.append({"type": "machine-learning-model", "name": name, "version": version})
    if below.name:
        listed.append({"type": "container", "name": below.name, "version": below.digest})
    made = {"type": "application", "name": facts.name, "version": facts.version}
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": made},
        "components": listed,
    }
    return Statement(_CYCLONEDX, canonical(content))


def provenance(
    facts: BentoFacts, name: str, digest: str, below: Below, platforms: Sequence[str]
) -> Statement:
    """Say how an image was made.

    Args:
        facts: The bento.
        name: The image's repository.
        digest: The image's.
        below: Its base image.
        platforms: What it was made for.
    """
    base = [{"uri": f"oci://{below.name}", "digest": _hex(below.digest)}] if below.name else []
    content = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": _hex(digest)}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://coalmine.dev/build/layered/v1",
                "externalParameters": {
                    "bento": f"{facts.name}:{facts.version}",
                    "platforms": list(platforms),
                },
                "resolvedDependencies": base,
            },
            "runDetails": {
                "builder": {
                    "id": "https://coalmine.dev/builder/layered",
                    "version": {"coalmine": coalmine.__version__},
                }
            },
        },
    }
    return Statement(_IN_TOTO, canonical(content))


def referrer_bytes(statement: Statement, subject: Blob, subject_type: str) -> bytes:
    """Make the manifest that carries a statement and points to the image it is about."""
    blob = Blob(digest_of(statement.content), len(statement.content))
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": statement.media_type,
            "config": descriptor(_EMPTY_TYPE, Blob(digest_of(EMPTY), len(EMPTY))),
            "layers": [descriptor(statement.media_type, blob)],
            "subject": descriptor(subject_type, subject),
        }
    )


def _hex(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


def _normal(name: str) -> str:
    """Write a package's name as PyPI's URLs have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
