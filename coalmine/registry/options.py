"""How registries are reached from here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.registry.address import is_loopback
from coalmine.registry.credentials import config_files

__all__ = ["RegistryOptions", "options_from"]

_MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached.

    Attributes:
        plain_http: Hosts, with their ports, that are spoken to without TLS. Loopback always is.
        ca_file: Certificates, in PEM, that are trusted beside the usual ones.
        credential_files: Docker's and Podman's configuration files, the most wanted first.
        environ: What credential helpers run with.
        chunk_bytes: Largest part of a blob in one request; 0 sends a blob whole, which every
            registry takes.
    """

    plain_http: frozenset[str] = frozenset()
    ca_file: Path | None = None
    credential_files: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    chunk_bytes: int = 0

    def is_plain(self, host: str) -> bool:
        """Tell whether a host is spoken to without TLS."""
        return (is_loopback(host) and not self.ca_file) or host in self.plain_http


def options_from(environ: Mapping[str, str], home: Path | None = None) -> RegistryOptions:
    """Read the options from the environment.

    ``COALMINE_REGISTRY_PLAIN_HTTP`` lists hosts with commas between, ``COALMINE_REGISTRY_CA`` names
    a file, ``COALMINE_REGISTRY_CHUNK_MIB`` is a whole number.

    Raises:
        InputError: The file is not there, or the number is none.
    """
    named = environ.get("COALMINE_REGISTRY_CA", "")
    if named and not Path(named).is_file():
        raise InputError(
            f"there is no file {named}", field="COALMINE_REGISTRY_CA", fix="name a PEM file"
        )
    mebi = environ.get("COALMINE_REGISTRY_CHUNK_MIB", "") or "0"
    if not re.fullmatch(r"[0-9]{1,6}", mebi):
        raise InputError(
            f"{mebi!r} is no whole number of MiB",
            field="COALMINE_REGISTRY_CHUNK_MIB",
            fix="give for example 64, or nothing to send every blob whole",
        )
    hosts = environ.get("COALMINE_REGISTRY_PLAIN_HTTP", "").split(",")
    return RegistryOptions(
        plain_http=frozenset(host.strip() for host in hosts if host.strip()),
        ca_file=Path(named) if named else None,
        credential_files=config_files(environ, home or Path.home()),
        environ=environ,
        chunk_bytes=int(mebi) * _MEBI,
    )
