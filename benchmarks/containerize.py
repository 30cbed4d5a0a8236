"""``bentoml containerize --backend buildah``, to be measured beside our own builds.

Its Dockerfile starts from an image of Docker Hub and installs Debian's and Python's packages. Here
it starts from a small image with busybox, where ``apt-get`` and ``uv`` do nothing: those lines are
in buildah's cache after the first time, and what is measured is what comes after them.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from base_images import push_base
from buildah_peer import peak_of, run

from coalmine.demo.bentos import DEMO_NAME

__all__ = ["Containerize", "find_busybox", "new_version"]

APPLETS = ("sh", "mkdir", "chown", "chmod", "id", "cat", "ls", "env", "test")
USERS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}
SHIMS = {
    "bin/apt-get": "#!/bin/sh\n",
    "bin/uv": "#!/bin/sh\nmkdir -p /app/.venv\n",
    "bin/groupadd": "#!/bin/sh\necho bentoml:x:1034: >> /etc/group\n",
    "bin/useradd": "#!/bin/sh\nmkdir -p /home/bentoml\n"
    "echo bentoml:x:1034:1034::/home/bentoml:/bin/sh >> /etc/passwd\n",
}


def find_busybox() -> Path | None:
    """Find a busybox that needs no libraries, or download Debian's; None where it is not had."""
    cached = Path(".coalmine/cache/busybox").absolute()
    if not cached.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
            words = ["apt-get", "-qq", "-oAPT::Sandbox::User=", "download", "busybox-static"]
            subprocess.run(words, cwd=folder, capture_output=True, check=False)
            for package in Path(folder).glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(package), f"{folder}/tree"], check=True)
                Path(folder, "tree/bin/busybox").rename(cached)
    return cached if cached.exists() else None


class Containerize:
    """Builds and pushes the bento of a BENTOML_HOME of its own.

    Args:
        home: A BENTOML_HOME that is copied.
        folder: For the copy and for buildah's storage.
        host: The registry.
        busybox: What the base image has.

    Attributes:
        peak: The most memory that the first run took, in KiB.
    """

    def __init__(self, home: Path, folder: Path, host: str, busybox: Path) -> None:
        self.home, self.host, self.peak = folder / "containerize-home", host, 0
        shutil.copytree(home, self.home, symlinks=True)
        for old in ("v1", "v3"):
            shutil.rmtree(self.home / "bentos" / DEMO_NAME / old)
            shutil.rmtree(self.home / "models" / "iris_model" / old)
        push_base(host, "base/busybox", architectures=("amd64",), tree=_tree(busybox))
        (folder / "storage.conf").write_text(
            '[storage]\ndriver = "vfs"\n'
            f'graphroot = "{folder}/c-root"\nrunroot = "{folder}/c-run"\n'
        )
        (folder / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{host}"\ninsecure = true\n'
        )
        self.environ = {
            **os.environ,
            "BENTOML_HOME": str(self.home),
            "BENTOML_DO_NOT_TRACK": "true",
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_LAYERS": "true",
            "STORAGE_DRIVER": "vfs",
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        }

    def run(self, version: str) -> None:
        """Build and push a version."""
        image = f"{self.host}/containerize/iris:{version}"
        bentoml = [sys.executable, "-m", "bentoml", "containerize", f"{DEMO_NAME}:{version}"]
        build = [*bentoml, "--backend", "buildah", "--image-tag", image]
        push = ["buildah", "push", "--tls-verify=false", image]
        if self.peak:
            run(*build, environ=self.environ)
            run(*push, environ=self.environ)
        else:
            self.peak = max(peak_of(*one, environ=self.environ) for one in (build, push))

    def renew(self, version: str, content: bytes) -> None:
        """Put a new version of model and bento into the home."""
        (bento,) = (path for path in (self.home / "bentos" / DEMO_NAME).iterdir() if path.is_dir())
        new = bento.rename(bento.with_name(version))
        (model,) = (
            path for path in (self.home / "models" / "iris_model").iterdir() if path.is_dir()
        )
        new_version(new / "bento.yaml", model.name, version)
        renamed = model.rename(model.with_name(version))
        new_version(renamed / "model.yaml", model.name, version)
        (renamed / "model.joblib").write_bytes(content)
        facts = new / "bento.yaml"
        base = f"base_image: {self.host}/base/busybox:slim"
        facts.write_text(re.sub("base_image: .*", base, facts.read_text()))
        for latest in (bento.parent / "latest", model.parent / "latest"):
            latest.write_text(version)


def new_version(facts: Path, before: str, version: str) -> None:
    """Write another version into a ``bento.yaml`` or ``model.yaml``, and of the model in it."""
    text = facts.read_text().replace(f":{before}\n", f":{version}\n")
    facts.write_text(re.sub(r"^version: .*$", f"version: {version}", text, flags=re.MULTILINE))


def _tree(busybox: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for folder in ("bin", "etc", "root", "tmp", "home", "usr", "proc", "sys", "dev"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        files = {name: text.encode() for name, text in (USERS | SHIMS).items()}
        for name, content in {**files, "bin/busybox": busybox.read_bytes()}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
        for applet in APPLETS:
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(member)
    return out.getvalue()
