"""What a bento asks for that no image of plain layers can give. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["unmet_needs"]

# What BentoML writes into every bento: tools to compile packages that come as sources.
_BENTOML_OWN = re.compile(
    r"apt-get update && apt-get install -q -y --no-install-recommends "
    r"--allow-remove-essential ca-certificates gnupg2 bash build-essential(?: git)?"
)
_SCRIPT = "./env/docker/script__"  # where BentoML puts what Image.run_script names
_OLD_DOCKER = {
    "system_packages": "system packages",
    "dockerfile_template": "Dockerfile template",
    "setup_script": "setup script",
    "cuda_version": "CUDA version",
}


def unmet_needs(bento: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what in a ``bento.yaml`` only a full build can do; empty if there is nothing.

    Args:
        bento: The file's content, of BentoML's second format (``image``) or first (``docker``,
            ``conda``).
    """
    return tuple(_image(bento.get("image") or {})) + tuple(_first_format(bento))


def _image(image: Mapping[str, Any]) -> Iterator[str]:
    for command in image.get("commands") or ():
        text = " ".join(str(command).split())
        if not _BENTOML_OWN.fullmatch(text):
            yield f"{_kind(text)}: {text}"
    for command in image.get("post_commands") or ():
        text = " ".join(str(command).split())
        yield f"{_kind(text)} after the packages: {text}"
    if image.get("dockerfile_template"):
        yield f"Dockerfile template: {image['dockerfile_template']}"


def _kind(command: str) -> str:
    if "apt-get install" in command:
        return "system packages"
    return "setup script" if _SCRIPT in command else "setup command"


def _first_format(bento: Mapping[str, Any]) -> Iterator[str]:
    docker = bento.get("docker") or {}
    for key, title in _OLD_DOCKER.items():
        if docker.get(key):
            yield f"{title}: {docker[key]}"
    if any((bento.get("conda") or {}).values()):
        yield "conda packages"
