"""Where events about releases go: URLs, with what they ask for, from options and the environment.

``K_SINK``, ``K_CA_CERTS``, ``K_CE_OVERRIDES`` and the token in ``/oidc`` are what Knative's
SinkBinding puts into a container:
https://github.com/knative/specs/blob/main/specs/eventing/overview.md#sink-binding
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from coalmine._base.errors import InputError
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.secret import Secret, open_secret
from coalmine.launcher.strictfile import read_text

__all__ = [
    "Sink",
    "checked_extensions",
    "make_sink",
    "nothing",
    "open_authorities",
    "open_token",
    "read_sinks",
    "trust",
]

OVERRIDES = "K_CE_OVERRIDES"
AUTHORITIES = "K_CA_CERTS"
OIDC_TOKEN = Path("/oidc/token")
"""Where a SinkBinding mounts the token whose audience is the sink."""
NAME = re.compile(r"[a-z0-9]{1,64}")
TAKEN = {
    "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
    "data",
}  # fmt: skip


def nothing() -> str:
    """Give no token, or no authorities."""
    return ""


@dataclass(frozen=True, slots=True)
class Sink:
    """One place that is told.

    Attributes:
        url: Where events are posted; it may hold a password.
        extensions: Attributes that every event gets.
        token: Gives the bearer token that is shown now; empty for none.
        authorities: Gives PEM of those that may have signed its certificate, besides those that are
            known everywhere; empty for those alone.
    """

    url: str
    extensions: Mapping[str, str] = field(default_factory=dict)
    token: Callable[[], str] = nothing
    authorities: Callable[[], str] = nothing

    @property
    def name(self) -> str:
        """What it is called in the ledger, in logs and in metrics: the URL without its secrets."""
        url = httpx.URL(self.url)
        shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
        hidden = url.userinfo + url.query
        # Two that differ in what is not shown are two.
        return f"{shown}#{hashlib.sha256(hidden).hexdigest()[:8]}" if hidden else shown


def trust(authorities: str, place: str = "") -> ssl.SSLContext | bool:
    """Make what a certificate is checked with; True for what is usual.

    Args:
        authorities: PEM, as `Sink` has it.
        place: Where it stands.

    Raises:
        InputError: There are no certificates in it.
    """
    if not authorities:
        return True
    context = httpx.create_ssl_context()
    try:
        context.load_verify_locations(cadata=authorities)
    except ssl.SSLError:
        raise InputError(
            "it holds no certificates", field=place, fix="give PEM: -----BEGIN CERTIFICATE"
        ) from None
    return context


def read_sinks(
    urls: Sequence[str], environ: Mapping[str, str], *, oidc_token: Path = OIDC_TOKEN
) -> tuple[Sink, ...]:
    """Find the sinks: those that are given, and that of ``K_SINK``.

    Args:
        urls: Those that are given.
        environ: The environment.
        oidc_token: Where the token for ``K_SINK`` is, if there is one.

    Raises:
        InputError: One is no URL, or what the environment says is not of its shape.
    """
    extensions = _overrides(environ.get(OVERRIDES, ""))
    sinks = [make_sink("--sink", url, extensions) for url in urls]
    if bound := environ.get("K_SINK"):
        token = open_token(Secret(oidc_token, field="K_SINK")) if oidc_token.exists() else nothing
        authorities = environ.get(AUTHORITIES, "")
        trust(authorities, AUTHORITIES)
        sinks.append(make_sink("K_SINK", bound, extensions, token, lambda: authorities))
    return tuple({sink.name: sink for sink in sinks}.values())


def make_sink(
    field: str,
    url: str,
    extensions: Mapping[str, str],
    token: Callable[[], str] = nothing,
    authorities: Callable[[], str] = nothing,
) -> Sink:
    """Make a sink of what was said of it.

    Args:
        field: Where its URL stands, for error messages.
        url: As `Sink` has it, like the others.
        extensions: As above.
        token: As above.
        authorities: As above.

    Raises:
        InputError: It is no URL.
    """
    return Sink(_checked(field, url), extensions, token, authorities)


def open_authorities(file: Path, field: str) -> Reloaded[str]:
    """Read the authorities of a sink, now and whenever their file changes.

    Args:
        file: PEM.
        field: Which sink's, for error messages.

    Raises:
        InputError: It is not there, or holds no certificates.
    """

    def load() -> str:
        text = read_text(file, "the sink's ca")
        trust(text or " ", field)  # an empty file is none, too
        return text

    return Reloaded(load, [file], f"the authorities of {field}")


def open_token(secret: Secret, environ: Mapping[str, str] | None = None) -> Callable[[], str]:
    """Read a bearer token, now and whenever its file changes; of several lines the first.

    Raises:
        InputError: It is not there, or no token.
    """
    lines = open_secret(secret, _token, environ or {})
    if not lines():
        raise InputError("it holds no token", field=secret.field, fix="write one line into it")

    def token() -> str:
        found = lines()
        return found[0].decode() if found else ""

    return token


def _token(line: str) -> bytes:
    if not line.isascii() or not line.isprintable() or " " in line:
        raise ValueError("it has characters that a header cannot carry")
    return line.encode()


def _checked(field: str, text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError(
            "a sink is no http or https URL",
            field=field,
            fix="give URLs such as http://broker-ingress.knative-eventing/ns/default",
        )
    return text


def _overrides(text: str) -> dict[str, str]:
    try:
        content = json.loads(text or "{}")
        extensions = content.get("extensions") or {}
        found = {str(name): str(value) for name, value in extensions.items()}
    except (ValueError, AttributeError):
        raise InputError(
            "it is no JSON object with extensions",
            field=OVERRIDES,
            fix='write {"extensions": {"name": "value"}}',
        ) from None
    return checked_extensions(found, OVERRIDES)


def checked_extensions(extensions: Mapping[str, str], place: str) -> dict[str, str]:
    """See that attributes may be given to every event.

    Raises:
        InputError: A name is none that an extension may have.
    """
    for name in extensions:
        if not NAME.fullmatch(name) or name in TAKEN:
            raise InputError(
                f"{name!r} is no name of an extension attribute",
                field=place,
                fix="use lower-case letters and digits, and no attribute that every event has",
            )
    return dict(extensions)
