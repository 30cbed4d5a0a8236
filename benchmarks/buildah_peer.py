"""``buildah bud`` and ``buildah push``, to be measured beside our own builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ONLY_COPY", "Buildah", "own_dockerfile", "peak_of", "run", "touch"]

ONLY_COPY = """FROM {base}
WORKDIR /home/bentoml/bento
COPY env ./env
COPY src ./src
COPY . ./
"""
"""The least that a Dockerfile for a bento can say; what it needs is in its base already."""
_WATCH = """
import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
print()
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Buildah:
    """Builds a Dockerfile, with its layer cache warm, and pushes the image.

    Its storage is vfs: on overlay, builds and pushes took longer here.

    Args:
        folder: For its storage.
        context: The bento.
        host: The registry.
        dockerfile: What is built.
        flags: Of the push.

    Attributes:
        peak: The most memory that the first run took, in KiB.
    """

    def __init__(
        self, folder: Path, context: Path, host: str, dockerfile: str, flags: Sequence[str] = ()
    ) -> None:
        folder.mkdir()
        self.peak = 0
        storage = [f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs"]
        buildah, image = ["buildah", *storage], f"{host}/{folder.name}/iris:v2"
        written = folder / "Dockerfile"
        written.write_text(dockerfile)
        self._bud = [
            *buildah, "bud", "--layers", "--isolation=chroot", "--tls-verify=false",
            f"--file={written}", f"--tag={image}", str(context),
        ]  # fmt: skip
        self._push = [*buildah, "push", "--tls-verify=false", *flags, image]

    def run(self, _version: str) -> None:
        """Build and push what is in the context."""
        if self.peak:
            run(*self._bud)
            run(*self._push)
        else:
            self.peak = max(peak_of(*self._bud), peak_of(*self._push))


def own_dockerfile(context: Path, base: str) -> str:
    """Give the Dockerfile that BentoML wrote into a bento, with another base image."""
    text = (context / "env/docker/Dockerfile").read_text()
    return re.sub(r"^FROM \S+", f"FROM {base}", text, count=1, flags=re.MULTILINE)


def touch(context: Path) -> None:
    """Give the models' files another time.

    It is in buildah's layers. What it has pushed once, from whichever storage, it knows on this
    machine, and has it mounted the next time.
    """
    now = time.time()
    for path in (context / "models").rglob("*"):
        os.utime(path, (now, now), follow_symlinks=False)


def run(*command: str, environ: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; what it printed."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def peak_of(*command: str, environ: Mapping[str, str] | None = None) -> int:
    """Run a program to its end; its peak memory in KiB.

    A small process starts it: until a program is begun, its memory counts as that of its parent.
    """
    said = run(sys.executable, "-S", "-c", _WATCH, *command, environ=environ)
    return int(said.splitlines()[-1])
