"""How something in a registry is named: ``host[:port]/path[:tag][@digest]``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.registry.digest import is_digest

__all__ = ["SCHEMES", "RemoteReference", "Repository", "is_loopback", "parse_remote"]

SCHEMES = ("oci://", "docker://")
"""What may stand before a reference and says no more than that a registry is meant."""

_DOCKER_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
# From the specification's grammar of <name> and of a tag.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository.

    Attributes:
        host: The registry's host, with its port if one was written.
        path: The repository's path in it.
    """

    host: str
    path: str

    @property
    def api_host(self) -> str:
        """The host that answers for the registry; Docker Hub's is another than its name."""
        return _DOCKER_HUB.get(self.host, self.host)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


@dataclass(frozen=True, slots=True)
class RemoteReference:
    """One manifest, or one place for it.

    Attributes:
        repository: Where it is.
        tag: Its tag, or empty.
        digest: Its digest, or empty.
    """

    repository: Repository
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """What the registry is asked for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag, digest = self.tag and f":{self.tag}", self.digest and f"@{self.digest}"
        return f"{self.repository}{tag}{digest}"


def parse_remote(text: str, *, field: str = "repository") -> RemoteReference:
    """Read a reference; ``oci://`` or ``docker://`` may stand before it.

    Args:
        text: The reference. Its host is written out: there are no short names.
        field: What an error names as wrong.

    Raises:
        InputError: It is none.
    """
    bare = next((text.removeprefix(s) for s in SCHEMES if text.startswith(s)), text)
    rest, at, digest = bare.partition("@")
    host, _, path = rest.partition("/")
    path, colon, tag = path.partition(":")
    if not _is_host(host) or not _PATH.fullmatch(path):
        raise InputError(
            f"{text!r} names no repository in a registry",
            field=field,
            fix="write host/path, for example ghcr.io/me/iris (docker.io/library/python too)",
        )
    if (colon and not _TAG.fullmatch(tag)) or (at and not is_digest(digest)):
        raise InputError(
            f"{text!r} has no right tag or digest",
            field=field,
            fix="write host/path:tag or host/path@sha256:...",
        )
    return RemoteReference(Repository(host, path), tag, digest)


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, is this machine by its very name."""
    name = host.removeprefix("[").partition("]")[0] if "[" in host else host.partition(":")[0]
    return name in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", name) is not None


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None and ("." in text or ":" in text or is_loopback(text))
