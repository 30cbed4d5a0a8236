"""How to be let in to a Prometheus: a file in the words of Prometheus' own HTTP client.

The fields are those of ``promtool --http.config.file`` that a gate needs
(prometheus.io/docs/prometheus/latest/configuration/promtool), so that one file serves both; any
other field is refused. Secrets can stand in files of their own, and are read anew for each gate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError

__all__ = ["VARIABLE", "Access", "access_from_environment", "read_access"]

VARIABLE = "COALMINE_PROMETHEUS_HTTP_CONFIG"
"""The environment variable that names the file."""


@dataclass(frozen=True, slots=True)
class Access:
    """What to send and whom to trust.

    Attributes:
        headers: Sent with every request; secrets among them.
        basic: User and password, or None.
        ca_file: Certificates to trust in place of the system's; empty for the system's.
        certificate: Our own certificate and its key, as files, for mutual TLS; or None.
        verify: Whether the server's certificate is checked.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    ca_file: str = ""
    certificate: tuple[str, str] | None = None
    verify: bool = True


def access_from_environment() -> Access:
    """Read the file that the environment names; without one nothing is sent.

    Raises:
        InputError: The file cannot be read or is wrong.
    """
    path = os.environ.get(VARIABLE, "")
    return read_access(Path(path)) if path else Access()


def read_access(path: Path) -> Access:
    """Read an HTTP client configuration.

    Raises:
        InputError: It cannot be read or is wrong; the field is named, its value never.
    """
    import yaml  # noqa: PLC0415 - only where there is such a file

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError):
        raise InputError(
            f"{path} cannot be read as YAML", field=VARIABLE, fix="give a readable YAML file"
        ) from None
    return _Reader(path).access(content)


class _Reader:
    """Reads one file; relative paths in it are taken from its folder, as Prometheus does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def access(self, content: object) -> Access:
        fields = self._mapping(content, "", FIELDS)
        basic = self._mapping(fields.get("basic_auth"), "basic_auth", BASIC)
        if basic and "authorization" in fields:
            raise self._fault("authorization", "stands beside basic_auth", "keep one of the two")
        tls = self._mapping(fields.get("tls_config"), "tls_config", TLS)
        return Access(
            headers={**self._authorization(fields), **self._headers(fields)},
            basic=(self._text(basic, "basic_auth.username"), self._secret(basic, "basic_auth"))
            if basic
            else None,
            ca_file=self._file(tls, "ca_file"),
            certificate=self._certificate(tls),
            verify=not self._flag(tls, "tls_config.insecure_skip_verify"),
        )

    def _authorization(self, fields: Mapping[str, Any]) -> dict[str, str]:
        if "authorization" not in fields:
            return {}
        given = self._mapping(fields["authorization"], "authorization", AUTHORIZATION)
        kind = str(given.get("type", "Bearer"))
        return {"Authorization": f"{kind} {self._secret(given, 'authorization', 'credentials')}"}

    def _headers(self, fields: Mapping[str, Any]) -> dict[str, str]:
        found = fields.get("http_headers") or {}
        if not isinstance(found, Mapping):
            raise self._fault(
                "http_headers", "is no mapping", "write a mapping from name to values"
            )
        return {str(name): self._header(f"http_headers.{name}", one) for name, one in found.items()}

    def _header(self, place: str, given: object) -> str:
        content = self._mapping(given, place, HEADER)
        files = [self._read(str(file), f"{place}.files") for file in content.get("files") or ()]
        own = [*(content.get("values") or ()), *(content.get("secrets") or ())]
        values = [str(value) for value in own] + files
        if not values:
            raise self._fault(place, "has no value", "give values, secrets or files")
        return ", ".join(values)

    def _certificate(self, tls: Mapping[str, Any]) -> tuple[str, str] | None:
        pair = (self._file(tls, "cert_file"), self._file(tls, "key_file"))
        if bool(pair[0]) != bool(pair[1]):
            raise self._fault("tls_config", "has one of cert_file and key_file", "give both")
        return pair if pair[0] else None

    def _secret(self, given: Mapping[str, Any], place: str, name: str = "password") -> str:
        if given.get(f"{name}_file"):
            return self._read(str(given[f"{name}_file"]), f"{place}.{name}_file")
        return self._text(given, f"{place}.{name}")

    def _text(self, given: Mapping[str, Any], place: str) -> str:
        value = given.get(place.rpartition(".")[2])
        if not isinstance(value, str) or not value:
            raise self._fault(place, "is no text", "write it in quotes")
        return value

    def _flag(self, given: Mapping[str, Any], place: str) -> bool:
        value = given.get(place.rpartition(".")[2], False)
        if not isinstance(value, bool):
            raise self._fault(place, "is neither true nor false", "write true or false")
        return value

    def _file(self, given: Mapping[str, Any], name: str) -> str:
        if not given.get(name):
            return ""
        path = self._path.parent / str(given[name])
        if not path.is_file():
            raise self._fault(f"tls_config.{name}", f"there is no file {path}", "correct the path")
        return str(path)

    def _read(self, name: str, place: str) -> str:
        try:
            return (self._path.parent / name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise self._fault(place, f"{name} cannot be read", "correct the path") from None

    def _mapping(self, given: object, place: str, known: frozenset[str]) -> Mapping[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise self._fault(place, "is no mapping", "write a mapping")
        strange = sorted(str(name) for name in given if name not in known)
        if strange:
            at = f"{place}.{strange[0]}" if place else strange[0]
            raise self._fault(at, "is not known here", f"known are {', '.join(sorted(known))}")
        return given

    def _fault(self, place: str, what: str, fix: str) -> InputError:
        return InputError(what, field=f"{self._path}: {place or 'the file'}", fix=fix)


FIELDS = frozenset({"basic_auth", "authorization", "tls_config", "http_headers"})
BASIC = frozenset({"username", "password", "password_file"})
AUTHORIZATION = frozenset({"type", "credentials", "credentials_file"})
TLS = frozenset({"ca_file", "cert_file", "key_file", "insecure_skip_verify"})
HEADER = frozenset({"values", "secrets", "files"})
