"""The image's configuration and manifest, as bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from coalmine.images.bento import BentoFacts
from coalmine.images.plan import BENTO_PATH, BENTOML_UID

__all__ = [
    "CONFIG_TYPE",
    "LAYER_TYPES",
    "MANIFEST_TYPE",
    "Blob",
    "LayerBlob",
    "canonical",
    "config_bytes",
    "descriptor",
    "manifest_bytes",
    "oci_annotations",
]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPES = {
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
}

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV = {
    "PATH": f"/app/.venv/bin:{_SYSTEM_PATH}",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONIOENCODING": "UTF-8",
    "PYTHONUNBUFFERED": "1",
    "BENTO_PATH": f"/{BENTO_PATH}",
    "BENTOML_HOME": "/home/bentoml/",
    "BENTOML_HF_CACHE_DIR": f"/{BENTO_PATH}/hf-models",
    "BENTOML_CONTAINERIZED": "true",
    "VIRTUAL_ENV": "/app/.venv",
}


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored blob: ``sha256:`` digest, and size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """One stored layer.

    Attributes:
        title: What it holds, for people.
        blob: Its stored form.
        diff_id: Digest of its uncompressed form.
        media_type: What the stored form is.
    """

    title: str
    blob: Blob
    diff_id: str
    media_type: str


def config_bytes(
    facts: BentoFacts, layers: Sequence[LayerBlob], *, created: datetime, architecture: str
) -> bytes:
    """Make the image configuration: what BentoML's own Dockerfile sets, and our labels.

    The user is given by number, as Kubernetes' runAsNonRoot can check only numbers.
    """
    moment = _rfc3339(created)
    return canonical(
        {
            "architecture": architecture,
            "os": "linux",
            "created": moment,
            "config": {
                "User": f"{BENTOML_UID}:{BENTOML_UID}",
                "ExposedPorts": {"3000/tcp": {}, "3001/tcp": {}},
                "Env": [f"{name}={value}" for name, value in ({**_ENV, **dict(facts.env)}).items()],
                "Entrypoint": [f"/{BENTO_PATH}/env/docker/entrypoint.sh"],
                "WorkingDir": f"/{BENTO_PATH}",
                "Labels": dict(oci_annotations(facts, created)),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": moment, "created_by": layer.title} for layer in layers],
        }
    )


def manifest_bytes(
    config: Blob, layers: Sequence[LayerBlob], annotated: Mapping[str, str]
) -> bytes:
    """Make the image manifest."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, config),
            "layers": [
                descriptor(layer.media_type, layer.blob)
                | {"annotations": {"dev.coalmine.layer": layer.title}}
                for layer in layers
            ],
            "annotations": dict(annotated),
        }
    )


def oci_annotations(facts: BentoFacts, created: datetime) -> Mapping[str, str]:
    """Say what the image is, in OCI's words."""
    return {
        "org.opencontainers.image.title": facts.name,
        "org.opencontainers.image.version": facts.version,
        "org.opencontainers.image.created": _rfc3339(created),
        "dev.coalmine.bento": f"{facts.name}:{facts.version}",
    }


def descriptor(media_type: str, blob: Blob) -> dict[str, object]:
    """Point to a blob."""
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def canonical(content: object) -> bytes:
    """Write JSON that is the same for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
