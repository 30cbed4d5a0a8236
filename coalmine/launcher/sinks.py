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
from coalmine.launcher.secret import Secret, open_secret

__all__ = ["Sink", "checked_extensions", "make_sink", "no_token", "open_token", "read_sinks"]

OVERRIDES = "K_CE_OVERRIDES"
AUTHORITIES = "K_CA_CERTS"
OIDC_TOKEN = Path("/oidc/token")
"""Where a SinkBinding mounts the token whose audience is the sink."""
NAME = re.compile(r"[a-z0-9]{1,64}")
TAKEN = {
    "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
    "data",
}  # fmt: skip


def no_token() -> str:
    """Give no token."""
    return ""


@dataclass(frozen=True, slots=True)
class Sink:
    """One place that is told.

    Attributes:
        url: Where events are posted; it may hold a password.
        extensions: Attributes that every event gets.
        token: Gives the bearer token that is shown now; empty for none.
        authorities: PEM of those that may have signed its certificate, besides those that are
            known everywhere; empty for those alone.
    """

    url: str
    extensions: Mapping[str, str] = field(default_factory=dict)
    token: Callable[[], str] = no_token
    authorities: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What it is called in the ledger, in logs and in metrics: the URL without its secrets."""
        url = httpx.URL(self.url)
        shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
        hidden = url.userinfo + url.query
        # Two that differ in what is not shown are two.
        return f"{shown}#{hashlib.sha256(hidden).hexdigest()[:8]}" if hidden else shown

    def trust(self) -> ssl.SSLContext | None:
        """Give what its certificate is checked with; None for what is usual."""
        if not self.authorities:
            return None
        context = httpx.create_ssl_context()
        context.load_verify_locations(cadata=self.authorities)
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
        token = open_token(Secret(oidc_token, field="K_SINK")) if oidc_token.exists() else no_token
        authorities = environ.get(AUTHORITIES, "")
        made = make_sink("K_SINK", bound, extensions, token, authorities, place=AUTHORITIES)
        sinks.append(made)
    return tuple({sink.name: sink for sink in sinks}.values())


def make_sink(
    field: str,
    url: str,
    extensions: Mapping[str, str],
    token: Callable[[], str] = no_token,
    authorities: str = "",
    *,
    place: str = "",
) -> Sink:
    """Make a sink of what was said of it.

    Args:
        field: Where its URL stands, for error messages.
        url: As `Sink` has it, like the others.
        extensions: As above.
        token: As above.
        authorities: As above.
        place: Where the authorities stand.

    Raises:
        InputError: It is no URL, or the authorities are no certificates.
    """
    sink = Sink(_checked(field, url), extensions, token, authorities)
    try:
        sink.trust()
    except ssl.SSLError:
        raise InputError(
            "it holds no certificates", field=place or field, fix="give PEM: -----BEGIN CERTIFICATE"
        ) from None
    return sink


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
