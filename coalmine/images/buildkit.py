"""BuildKit: a full build of the bento's own Dockerfile by ``buildctl``, straight to a registry.

Source of the options: buildctl's reference and BuildKit's README, "Output" and "Daemonless".
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine.images.dockerfile import DOCKERFILE, buildable, find_tool, in_registry, run_tool
from coalmine.images.platforms import Platform
from coalmine.images.protocol import BuiltImage
from coalmine.registry.address import RemoteReference
from coalmine.registry.digest import is_digest
from coalmine.registry.options import RegistryOptions

__all__ = ["BuildkitBuilder", "buildctl_arguments"]

_ALONE = "buildctl-daemonless.sh"
# Without root the daemon of its own cannot make process namespaces in a pod that is not privileged.
_ROOTLESS = "--oci-worker-no-process-sandbox"


@dataclass(frozen=True, slots=True)
class BuildkitBuilder:
    """Builds with ``buildctl``, by the daemon that ``BUILDKIT_HOST`` names or one of its own.

    Attributes:
        platforms: What the image is for; empty means what the daemon runs on.
        epoch: The time that files and image get, in seconds since 1970; else the time now.
        registry: How registries are reached. The daemon has authorities of its own.
    """

    platforms: tuple[Platform, ...] = ()
    epoch: int | None = None
    registry: RegistryOptions = field(default_factory=RegistryOptions)

    def build(self, context: Path, repository: str) -> BuiltImage:
        """Build the image of a context, and have it pushed.

        Raises:
            InputError: The context is no bento or has no Dockerfile; the repository is a folder.
            CoalmineError: buildctl is not here, or failed; its last words are in the error.
        """
        target, facts = in_registry(repository, "buildkit"), buildable(context)
        program = _program(os.environ)
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "metadata.json"
            words = buildctl_arguments(
                context,
                target,
                target.tag or facts.version,
                said,
                platforms=self.platforms,
                epoch=self.epoch,
                plain=self.registry.is_plain(target.repository.api_host),
            )
            run_tool("buildctl", [program, *words], _environ(os.environ))
            digest = _digest(said)
        return BuiltImage(str(target.repository), digest, 0, 0)


def buildctl_arguments(
    context: Path,
    target: RemoteReference,
    tag: str,
    metadata: Path,
    *,
    platforms: tuple[Platform, ...] = (),
    epoch: int | None = None,
    plain: bool = False,
) -> list[str]:
    """Write buildctl's arguments. Pure.

    Args:
        context: The bento.
        target: The repository.
        tag: The image's tag.
        metadata: A file to be, which will name the digest.
        platforms: What the image is for; empty means what the daemon runs on.
        epoch: The time that files and image get.
        plain: Whether the registry is spoken to without TLS.
    """
    output = f"type=image,name={target.repository}:{tag},push=true,oci-mediatypes=true"
    if plain:
        output += ",registry.insecure=true"
    options = [f"filename={Path(DOCKERFILE).name}"]
    if platforms:
        options.append(f"platform={','.join(map(str, platforms))}")
    if epoch is not None:
        output += ",rewrite-timestamp=true"
        options.append(f"build-arg:SOURCE_DATE_EPOCH={epoch}")
    return [
        *("build", "--progress=plain", "--frontend=dockerfile.v0"),
        *("--local", f"context={context}"),
        *("--local", f"dockerfile={(context / DOCKERFILE).parent}"),
        *(word for option in options for word in ("--opt", option)),
        *("--output", output, "--metadata-file", str(metadata)),
    ]


def _program(environ: Mapping[str, str]) -> str:
    names = ("buildctl",) if environ.get("BUILDKIT_HOST") else (_ALONE, "buildctl")
    return find_tool(
        *names,
        fix="use an image that has BuildKit's programs, such as moby/buildkit:rootless, with "
        "coalmine; or use --builder layered",
    )


def _environ(environ: Mapping[str, str]) -> Mapping[str, str]:
    if environ.get("BUILDKIT_HOST") or os.getuid() == 0:
        return environ
    return {"BUILDKITD_FLAGS": _ROOTLESS, **environ}


def _digest(metadata: Path) -> str:
    try:
        digest = str(json.loads(metadata.read_text())["containerimage.digest"])
    except (OSError, ValueError, KeyError, TypeError):
        digest = ""
    if not is_digest(digest):
        raise CoalmineError("buildctl named no digest", fix="see whether it is 0.9 or newer")
    return digest
