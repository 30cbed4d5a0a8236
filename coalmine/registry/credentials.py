"""Who we are to a registry, as Docker's and Podman's configuration files say."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.address import Repository

__all__ = ["Credentials", "Login", "config_files", "find_login"]

_HELPER_SECONDS = 30
_SAID_CHARACTERS = 200
_TOKEN_USER = "<token>"  # noqa: S105 - the name under which helpers give an identity token


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password, or an identity token that a token service takes instead.

    Attributes:
        username: The user; empty with an identity token.
        password: The password.
        identity_token: An OAuth 2 refresh token; empty with a password.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


@dataclass(frozen=True, slots=True)
class Login:
    """What was found about who we are to a registry.

    Attributes:
        credentials: The credentials; None if there are none.
        told: Where they are from, or why there are none, for messages.
    """

    credentials: Credentials | None
    told: str


def config_files(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """List the files that may hold credentials, the most wanted first.

    ``REGISTRY_AUTH_FILE`` and ``$XDG_RUNTIME_DIR/containers/auth.json`` are Podman's,
    ``DOCKER_CONFIG`` (a folder) and ``~/.docker`` are Docker's.
    """
    named = environ.get("REGISTRY_AUTH_FILE", "")
    docker = environ.get("DOCKER_CONFIG", "")
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    found = [
        Path(named) if named else None,
        Path(docker) / "config.json" if docker else home / ".docker" / "config.json",
        Path(runtime) / "containers" / "auth.json" if runtime else None,
    ]
    return tuple(path for path in found if path is not None)


def find_login(
    repository: Repository, files: tuple[Path, ...], environ: Mapping[str, str]
) -> Login:
    """Find the credentials for a repository; without any it is asked all the same.

    In each file: the host's own helper, then the helper of all, then what the file itself holds.

    Args:
        repository: What is to be reached.
        files: Configuration files, the most wanted first; those that are not there do not count.
        environ: What a credential helper runs with.

    Raises:
        InputError: A file or a credential helper says something that cannot be read.
        CoalmineError: A credential helper does not end.
    """
    said: list[str] = []
    for path in files:
        if config := _read(path):
            found = _from_config(config, repository, path, environ, said)
            if found is not None:
                return Login(found, f"asked as {found.username or 'the bearer'!r}, from {path}")
    why = "; ".join(said) or f"none for {repository.host} in {', '.join(map(str, files))}"
    return Login(None, f"asked without credentials: {why}")


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        for key in ("auths", "credHelpers"):
            (config.get(key) or {}).items()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", fix="mend it, or log in again: docker login"
        ) from None
    return dict(config)


def _from_config(
    config: dict[str, Any],
    repository: Repository,
    path: Path,
    environ: Mapping[str, str],
    said: list[str],
) -> Credentials | None:
    hosts = _names(repository)
    helpers = config.get("credHelpers") or {}
    for host in hosts:
        if host in helpers:
            return _ask_helper(str(helpers[host]), host, environ, said)
    if store := config.get("credsStore"):
        for host in hosts:
            if found := _ask_helper(str(store), host, environ, said):
                return found
    return _from_auths(config.get("auths") or {}, repository, path)


def _names(repository: Repository) -> tuple[str, ...]:
    """What a host is called in configuration files; Docker Hub has a name of its own there."""
    if repository.host in {"docker.io", "index.docker.io", "registry-1.docker.io"}:
        return "https://index.docker.io/v1/", "docker.io", "index.docker.io"
    return (repository.host, f"https://{repository.host}")


def _from_auths(auths: dict[str, Any], repository: Repository, path: Path) -> Credentials | None:
    parts = repository.path.split("/")
    longer = [f"{repository.host}/{'/'.join(parts[:n])}" for n in range(len(parts), 0, -1)]
    by_name = {key.rstrip("/"): value for key, value in auths.items()}
    for key in (*longer, *_names(repository)):
        entry = by_name.get(key.rstrip("/"))
        if entry:
            return _decode(entry, key, path)
    for key, entry in auths.items():
        if entry and _host_of(key) in _names(repository):
            return _decode(entry, key, path)
    return None


def _host_of(key: str) -> str:
    """Give the host of a registry that was named by its API's URL, which Docker takes as well."""
    host, slash, rest = re.sub(r"^https?://", "", key).partition("/")
    return host if host != key and (slash == "" or rest.strip("/") in {"", "v1", "v2"}) else ""


def _decode(entry: Any, key: str, path: Path) -> Credentials | None:  # noqa: ANN401 - as JSON gives it
    try:
        if token := entry.get("identitytoken"):
            return Credentials(identity_token=str(token))
        if "username" in entry and "password" in entry:
            return Credentials(str(entry["username"]), str(entry["password"]))
        pair = base64.b64decode(entry.get("auth", ""), validate=True).decode().rstrip("\0")
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            f"{path}: the entry of {key} cannot be read", fix="log in again: docker login"
        ) from None
    username, colon, password = pair.partition(":")
    return Credentials(username, password) if colon else None


def _ask_helper(
    name: str, host: str, environ: Mapping[str, str], said: list[str]
) -> Credentials | None:
    """Ask ``docker-credential-NAME``: the host on stdin, JSON on stdout; or an error there."""
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=host,
            env=dict(environ),
            capture_output=True,
            text=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except OSError as error:
        raise InputError(
            f"{program}, which your Docker configuration names, cannot be run: {error.strerror}",
            fix="install it, or take it out of the configuration",
        ) from None
    except subprocess.TimeoutExpired:
        raise CoalmineError(f"{program} gave no answer for {_HELPER_SECONDS} s") from None
    if done.returncode:
        # Helpers say in words that differ that they know none, and why they fail. A registry that
        # needs no user is no worse off; one that does is told of with these words.
        words = " ".join((done.stdout + done.stderr).split())[:_SAID_CHARACTERS]
        words = "".join(filter(str.isprintable, words))
        said.append(f"{program} gives none for {host}: {words or f'exit code {done.returncode}'}")
        return None
    return _from_helper(done.stdout, program)


def _from_helper(said: str, program: str) -> Credentials:
    try:
        answer = json.loads(said)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{program} gave an answer that is not as Docker defines it") from None
    if username == _TOKEN_USER:
        return Credentials(identity_token=secret)
    return Credentials(username, secret)
