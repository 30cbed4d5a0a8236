"""A real PostgreSQL of one's own, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

NOBODY = 65534


class Postgres:
    """A server in a folder; ``start`` and ``stop`` may be called again and again."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self._bin = bin_folder
        self._data = folder / "data"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._as_user(
            "initdb", "-D", self._data, "-A", "trust", "-U", "coalmine", "--no-sync"
        ).wait()

    @property
    def url(self) -> str:
        return f"postgresql://coalmine@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = ["-D", self._data, "-h", "127.0.0.1", "-p", self.port, "-k", ""]
        self._process = self._as_user("postgres", *options)
        while not self._answers():
            assert self._process.poll() is None, "PostgreSQL has ended"

    def stop(self) -> None:
        """End it as a crash would: nothing is drained."""
        if self._process:
            self._process.send_signal(3)  # SIGQUIT: an immediate shutdown
            self._process.wait()
            self._process = None

    def empty(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_user(self, program: str, *words: object) -> subprocess.Popen[bytes]:
        # PostgreSQL refuses to be root.
        nobody = NOBODY if os.getuid() == 0 else None
        return subprocess.Popen(
            [self._bin / program, *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            user=nobody,
            group=nobody,
        )


def find_postgres() -> Path | None:
    """Find the folder of PostgreSQL's programs: on PATH, or where Debian puts them."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextlib.contextmanager
def running_postgres(bin_folder: Path) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="coalmine-pg-") as folder:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        postgres = Postgres(bin_folder, Path(folder))
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()
