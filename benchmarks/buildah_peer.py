"""``buildah bud`` and ``buildah push``, to be measured beside our own builds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Buildah", "run", "touch"]

_DOCKERFILE = """FROM {base}
WORKDIR /home/bentoml/bento
COPY env ./env
COPY src ./src
COPY . ./
"""


class Buildah:
    """Builds a Dockerfile of nothing but COPY, with its layer cache warm, and pushes it.

    Its storage is vfs: on overlay, builds and pushes took longer here.

    Args:
        folder: For its storage.
        context: The bento.
        host: The registry.
        base: The base image.
        flags: Of the push.

    Attributes:
        peak: The most memory that a run took, in KiB.
    """

    def __init__(
        self, folder: Path, context: Path, host: str, base: str, flags: Sequence[str]
    ) -> None:
        folder.mkdir()
        self.peak = 0
        storage = [f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs"]
        buildah, image = ["buildah", *storage], f"{host}/{folder.name}/iris:v2"
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(_DOCKERFILE.format(base=base))
        self._bud = [
            *buildah, "bud", "--layers", "--isolation=chroot", "--tls-verify=false",
            f"--file={dockerfile}", f"--tag={image}", str(context),
        ]  # fmt: skip
        self._push = [*buildah, "push", "--tls-verify=false", *flags, image]

    def run(self, _version: str) -> None:
        """Build and push what is in the context."""
        for command in (self._bud, self._push):
            self.peak = max(self.peak, run(*command)[1])


def touch(context: Path) -> None:
    """Give all files another time.

    It is in buildah's layers. What it has pushed once, from whichever storage, it knows on this
    machine, and has it mounted the next time.
    """
    now = time.time()
    for path in context.rglob("*"):
        os.utime(path, (now, now), follow_symlinks=False)


def run(*command: str, environ: Mapping[str, str] | None = None) -> tuple[str, int]:
    """Run a program to its end; what it printed, and its peak memory in KiB."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if process.returncode:
        sys.exit(f"{command[0]} failed: {said[-3000:]}")
    return said, used.ru_maxrss
