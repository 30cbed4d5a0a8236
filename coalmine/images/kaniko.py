"""Kaniko: a full build of the bento's own Dockerfile, in the container that it runs in.

Its first home was archived in June 2025; forks of it live on and take the same arguments. Source of
these: its README, "Additional Flags" and "kaniko Build Contexts".
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.dockerfile import DOCKERFILE, buildable, find_tool, in_registry, run_tool
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.registry.address import RemoteReference
from coalmine.registry.digest import is_digest
from coalmine.registry.options import RegistryOptions

__all__ = ["KanikoBuilder", "Source", "executor_arguments"]

_OWN = Path("/kaniko")
_FETCHED = "context.tar.gz"  # as kaniko calls it, whatever it is called in its bucket
_EXECUTOR = str(_OWN / "executor")


class Source(Protocol):
    """A bento's archive in a bucket, which the executor fetches itself.

    Attributes:
        url: ``s3://bucket/path.tar.gz``.
    """

    @property
    def url(self) -> str: ...  # noqa: D102

    def environ(self) -> Mapping[str, str]:
        """Say how the bucket is reached, in the executor's own variables."""

    def check(self) -> None:
        """Raise CoalmineError if the archive is not what it was when it was verified."""


@dataclass(frozen=True, slots=True)
class KanikoBuilder:
    """Builds with kaniko's executor, from a tar here or in a bucket.

    Attributes:
        scratch: A folder for the tar.
        platform: What the image is for; None means this machine's.
        epoch: If given, times are taken out of the image, as kaniko knows no other.
        registry: How registries are reached.
        python: Where the Python that runs us lies.
        source: Where the executor finds the bento; None where it is handed a tar.
    """

    scratch: Path
    platform: Platform | None = None
    epoch: int | None = None
    registry: RegistryOptions = field(default_factory=RegistryOptions)
    python: Path = field(default_factory=lambda: Path(sys.base_prefix))
    source: Source | None = None

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
            said = Path(folder) / "digest"
            words = executor_arguments(
                self.source.url if self.source else _packed(context, Path(folder)),
                _dockerfile(context, Path(folder)) if self.source else DOCKERFILE,
                target,
                target.tag or facts.version,
                said,
                platform=self.platform,
                reproducible=self.epoch is not None,
                registry=self.registry,
            )
            more = self.source.environ() if self.source else {}
            run_tool("kaniko", [program, *words], {**os.environ, **more})
            digest = said.read_text().strip() if said.is_file() else ""
        if not is_digest(digest):
            raise CoalmineError(f"kaniko named no digest but {digest!r}")
        if self.source:
            self.source.check()
        return BuiltImage(str(target.repository), digest, 0, 0)


def _packed(context: Path, folder: Path) -> str:
    """Pack a bento as kaniko reads it; making it smaller would take longer than it saves."""
    packed = folder / "context.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=0) as archive:
        archive.add(context, ".")
    return f"tar://{packed}"


def _dockerfile(context: Path, folder: Path) -> str:
    """Write the Dockerfile down with what its words shall not copy.

    Kaniko leaves the archive that it fetched among what was in it, and ``COPY .`` would take that.
    """
    dockerfile = folder / "Dockerfile"
    shutil.copy(context / DOCKERFILE, dockerfile)
    rules = (context / f"{DOCKERFILE}.dockerignore", context / ".dockerignore")
    own = next((file.read_text() for file in rules if file.is_file()), "")
    Path(f"{dockerfile}.dockerignore").write_text(f"{own}\n{_FETCHED}\n")
    return str(dockerfile)


def executor_arguments(
    source: str,
    dockerfile: str,
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
        source: URL of the bento, a tar with gzip; kaniko takes no other.
        dockerfile: Its Dockerfile, in the bento or here.
        target: The repository.
        tag: The image's tag.
        digest: A file to be, with the image's digest.
        registry: How the registry is reached.
        platform: What the image is for; None means this machine's.
        reproducible: Whether times are taken out.
    """
    host = target.repository.api_host
    return [
        f"--context={source}",
        f"--dockerfile={dockerfile}",
        f"--destination={target.repository}:{tag}",
        f"--digest-file={digest}",
        f"--ignore-path={digest.parent}",
        *([f"--custom-platform={platform}"] if platform else []),
        *(["--reproducible"] if reproducible else []),
        *(["--insecure", f"--insecure-registry={host}"] if registry.is_plain(host) else []),
        *([f"--registry-certificate={host}={registry.ca_file}"] if registry.ca_file else []),
    ]
