"""SeaweedFS, a real S3 server, from its wheel."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import S3Store

from coalmine.stack.ports import HOST, free_port

__all__ = ["Seaweed", "find_seaweed", "running_seaweed"]

_SERVERS = ("master", "volume", "filer", "s3")
_ACTIONS = {"key": ["Admin", "Read", "List", "Tagging", "Write"], "reader": ["Read", "List"]}
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Seaweed:
    """A running server.

    Attributes:
        endpoint: Its base URL.
        environ: What a process needs to write to it.
        reader: What a process needs to read from it alone.
    """

    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        return _environ(self.endpoint, "key")

    @property
    def reader(self) -> dict[str, str]:
        return _environ(self.endpoint, "reader")


def find_seaweed() -> str | None:
    return shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")


@contextmanager
def running_seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run one with its data in a folder, and the bucket ``bentos``."""
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": "secret"}],
            "actions": actions,
        }
        for name, actions in _ACTIONS.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports: list[int] = []
    for _ in range(2 * len(_SERVERS)):
        ports.append(free_port(frozenset(ports)))
    with (folder / "log").open("wb") as log:
        command = _command(folder, ports)
        environ = os.environ | {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # 7 take seconds
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environ)
    try:
        _wait(process, ports[2 * _SERVERS.index("s3")], folder / "log")
        running = Seaweed(f"http://{HOST}:{ports[2 * _SERVERS.index('s3')]}")
        _make_bucket(running)
        yield running
    finally:
        process.kill()  # asked to end, it waits 25 s for its own parts
        process.wait()


def _command(folder: Path, ports: list[int]) -> list[str]:
    options = [f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3"]
    for number, server in enumerate(_SERVERS):
        options.append(f"-{server}.port={ports[2 * number]}")
        options.append(f"-{server}.port.grpc={ports[2 * number + 1]}")
    options += [f"-s3.config={folder / 's3.json'}", "-s3.iam=false"]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # these ports would be fixed
    options += ["-volume.max=0", "-master.volumeSizeLimitMB=64"]
    options += [f"-filer.localSocket={folder / 'filer.sock'}"]
    return [str(find_seaweed()), "server", *options]


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(log.read_text()[-2000:])


def _make_bucket(running: Seaweed) -> None:
    """Write an object; asked for a bucket that is not there yet, the server waits for 5 s."""
    client = S3Store(
        "bentos",
        endpoint=running.endpoint,
        access_key_id="key",
        secret_access_key="secret",
        client_options={"allow_http": True},
    )
    obstore.put(client, "first", b"")


def _environ(endpoint: str, key: str) -> dict[str, str]:
    return {
        "COALMINE_S3_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
