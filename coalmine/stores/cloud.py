"""BentoCloud, by BentoML's own client.

It runs in a process of its own with an empty BENTOML_HOME: BentoML takes its home from the
environment when it is imported, and puts what it pulls there. From there it is read as from any
store on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.local import LocalStore
from coalmine.stores.names import check_name, check_version, is_latest
from coalmine.stores.protocol import Found

__all__ = ["CloudStore"]

_SECONDS = 3600
_KEY = "BENTO_CLOUD_API_KEY"
_ENDPOINT = "https://cloud.bentoml.com"
_REFUSALS = frozenset({400, 401, 403, 404})


class CloudStore:
    """The bentos of one BentoCloud organisation.

    Args:
        environ: ``BENTO_CLOUD_API_KEY`` and ``BENTO_CLOUD_API_ENDPOINT``, as BentoML has them.

    Raises:
        InputError: There is no key.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        if not environ.get(_KEY):
            raise InputError("is not set", field=_KEY, fix="make an API token in BentoCloud")
        self._environ = environ
        self.url = "bentocloud:" + environ.get("BENTO_CLOUD_API_ENDPOINT", _ENDPOINT)

    def resolve(self, name: str, version: str) -> str:
        """Find the version that is meant; ``latest`` and the empty string mean the newest.

        Raises:
            InputError: There is no such bento, or the key does not do.
            CoalmineError: BentoCloud does not answer.
        """
        check_name(name)
        if is_latest(version):
            with tempfile.TemporaryDirectory(prefix="coalmine-cloud-") as home:
                version = self._ask("latest", name, home=Path(home))
        check_version(version)
        return version

    def find(self, name: str, version: str) -> Found:
        """Name a bento; whether it is there is seen when it is fetched.

        It has no source, as BentoCloud lets a version be pushed again.
        """
        return Found("", lambda into: self._fetch(name, version, into))

    def names(self) -> dict[str, list[str]]:
        """Refuse: BentoML's own command lists them."""
        raise InputError(
            f"bentos in {self.url} are not listed here", field="store", fix="run: bentoml list"
        )

    def _fetch(self, name: str, version: str, into: Path) -> None:
        home = into.with_name("home")
        home.mkdir()
        self._ask("pull", f"{name}:{version}", home=home)
        LocalStore(home).find(name, version).fetch(into)
        shutil.rmtree(home)

    def _ask(self, action: str, what: str, *, home: Path) -> str:
        own = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
        command = [sys.executable, "-m", "coalmine.stores.cloud_client", action, what]
        try:
            done = subprocess.run(
                command,
                env={**self._environ, **own},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CoalmineError(f"{self.url} has not given {what} in {_SECONDS} s") from None
        return self._read(done, what)

    def _read(self, done: subprocess.CompletedProcess[str], what: str) -> str:
        try:
            said = json.loads(done.stdout.strip().rpartition("\n")[2])
        except ValueError:
            last = done.stderr.strip().rpartition("\n")[2]
            raise CoalmineError(f"{self.url} could not be asked for {what}: {last}") from None
        if "version" in said:
            return str(said["version"])
        if said["status"] in _REFUSALS:
            raise InputError(
                f"{self.url} does not give {what}: {said['error']}",
                fix=f"see the name, the version and {_KEY}",
            )
        raise CoalmineError(f"{self.url} does not give {what}: {said['error']}", fix="try again")
