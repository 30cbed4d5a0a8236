"""Debian's docker-registry, unpacked without root and started on a free port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from filelock import FileLock

CACHE = Path(__file__).parent.parent.parent / ".coalmine" / "cache"
_SECONDS = 20.0


@dataclass(frozen=True)
class RealRegistry:
    """A running registry.

    Attributes:
        host: Its address, with the port.
        root: Its storage.
        log: What it logged.
    """

    host: str
    root: Path
    log: Path

    def blob(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self.root / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"

    def layer_link(self, path: str, digest: str) -> Path:
        """Give the file that says that a repository has a blob."""
        layers = self.root / "docker/registry/v2/repositories" / path / "_layers/sha256"
        return layers / digest.removeprefix("sha256:") / "link"


def find_registry() -> Path | None:
    """Find docker-registry on PATH or in the cache, or download it; None where that is not had."""
    if on_path := shutil.which("docker-registry"):
        return Path(on_path)
    program = CACHE / "docker-registry" / "usr" / "bin" / "docker-registry"
    if not program.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        CACHE.mkdir(parents=True, exist_ok=True)
        with FileLock(CACHE / "docker-registry.lock"):
            if not program.exists():
                _download()
    return program if program.exists() else None


@contextmanager
def running_registry(
    folder: Path, *, http: dict[str, object] | None = None, auth: dict[str, object] | None = None
) -> Iterator[RealRegistry]:
    """Run a registry in a folder until the end of the block."""
    program = find_registry()
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}", **(http or {})},
    }
    if auth:
        config["auth"] = auth
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
        try:
            _wait(f"{'https' if http else 'http'}://127.0.0.1:{port}/v2/", process)
            yield RealRegistry(f"127.0.0.1:{port}", folder / "data", folder / "log")
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    with httpx.Client(verify=False, trust_env=False) as client:
        while time.monotonic() < end:
            assert process.poll() is None, "the registry ended"
            try:
                client.get(url)
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return
    raise AssertionError("the registry does not answer")


def _download() -> None:
    # apt's own lists and cache: neither root nor the machine's lists are needed.
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".docker-registry.") as work:
        folder = Path(work)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        apt = [
            "apt-get",
            "-qq",
            f"-oDir::State={folder / 'state'}",
            f"-oDir::Cache={folder / 'cache'}",
            "-oDir::State::status=/var/lib/dpkg/status",
            "-oAPT::Sandbox::User=",
        ]
        for command in ([*apt, "update"], [*apt, "download", "docker-registry"]):
            if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
                return
        package = next(folder.glob("docker-registry_*.deb"))
        subprocess.run(["dpkg", "-x", str(package), str(folder / "tree")], check=True)
        (folder / "tree").rename(CACHE / "docker-registry")
