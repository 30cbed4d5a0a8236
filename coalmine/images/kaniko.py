"""Kaniko: a full build of the bento's own Dockerfile, in the container that it runs in.

Its first home was archived in June 2025; forks of it live on and take the same arguments. Source of
these: its README, "Additional Flags" and "kaniko Build Contexts".
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.dockerfile import DOCKERFILE, buildable, find_tool, in_registry, run_tool
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.registry.address import RemoteReference
from coalmine.registry.digest import is_digest
from coalmine.registry.options import RegistryOptions

__all__ = ["KanikoBuilder", "executor_arguments"]

_OWN = Path("/kaniko")
_EXECUTOR = str(_OWN / "executor")


@dataclass(frozen=True, slots=True)
class KanikoBuilder:
    """Builds with kaniko's executor, from a tar.

    Attributes:
        scratch: A folder for the tar.
        platform: What the image is for; None means this machine's.
        epoch: If given, times are taken out of the image, as kaniko knows no other.
        registry: How registries are reached.
        python: Where the Python that runs us lies.
    """

    scratch: Path
    platform: Platform | None = None
    epoch: int | None = None
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    python: Path = Path(sys.base_prefix)

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context, and have it pushed.

        Raises:
            InputError: The context is no bento or has no Dockerfile; the repository is a folder;
                or kaniko would write over the Python that runs us.
            CoalmineError: The executor is not here, or failed; its last words are in the error.
        """
        target, facts = in_registry(repository, "kaniko"), buildable(context)
        if not self.python.is_relative_to(_OWN):
            raise InputError(
                f"kaniko lays the base image over its container, and over {self.python} with it",
                field="builder",
                fix=f"use an image with kaniko that has Python and coalmine below {_OWN}; or "
                "another builder",
            )
        program = find_tool(_EXECUTOR, "executor", fix="use an image of kaniko, with coalmine")
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            packed, said = Path(folder) / "context.tar.gz", Path(folder) / "digest"
            with tarfile.open(packed, "w:gz", compresslevel=1) as archive:
                archive.add(context, ".")
            words = executor_arguments(
                packed,
                target,
                target.tag or facts.version,
                said,
                platform=self.platform,
                reproducible=self.epoch is not None,
                registry=self.registry,
            )
            run_tool("kaniko", [program, *words], os.environ)
            digest = said.read_text().strip() if said.is_file() else ""
        if not is_digest(digest):
            raise CoalmineError(f"kaniko named no digest but {digest!r}")
        return BuiltImage(str(target.repository), digest, 0, 0)


def executor_arguments(
    packed: Path,
    target: RemoteReference,
    tag: str,
    digest: Path,
    *,
    registry: RegistryOptions,
    platform: Platform | None = None,
    reproducible: bool = False,
) -> list[str]:
    """Write the executor's arguments. Pure.

    Args:
        packed: The bento, as a tar with gzip; kaniko takes no other.
        target: The repository.
        tag: The image's tag.
        digest: A file to be, with the image's digest.
        registry: How the registry is reached.
        platform: What the image is for; None means this machine's.
        reproducible: Whether times are taken out.
    """
    host = target.repository.api_host
    return [
        f"--context=tar://{packed}",
        f"--dockerfile={DOCKERFILE}",
        f"--destination={target.repository}:{tag}",
        f"--digest-file={digest}",
        f"--ignore-path={packed.parent}",
        *([f"--custom-platform={platform}"] if platform else []),
        *(["--reproducible"] if reproducible else []),
        *(["--insecure", f"--insecure-registry={host}"] if registry.is_plain(host) else []),
        *([f"--registry-certificate={host}={registry.ca_file}"] if registry.ca_file else []),
    ]
