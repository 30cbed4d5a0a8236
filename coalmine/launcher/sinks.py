"""Where events about releases go: URLs, from options and the environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from coalmine._base.errors import InputError

__all__ = ["Sink", "read_sinks"]

OVERRIDES = "K_CE_OVERRIDES"


@dataclass(frozen=True, slots=True)
class Sink:
    """One place that is told.

    Attributes:
        url: Where events are posted; it may hold a password.
        extensions: Attributes that every event gets, as Knative's SinkBinding has it.
    """

    url: str
    extensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in the ledger, in logs and in metrics: the URL without its secrets."""
        url = httpx.URL(self.url)
        shown = str(url.copy_with(userinfo=b"", query=None, fragment=None))
        hidden = url.userinfo + url.query
        # Two that differ in what is not shown are two.
        return f"{shown}#{hashlib.sha256(hidden).hexdigest()[:8]}" if hidden else shown


def read_sinks(urls: Sequence[str], environ: Mapping[str, str]) -> tuple[Sink, ...]:
    """Find the sinks: those that are given, and that of ``K_SINK``.

    ``K_SINK`` and ``K_CE_OVERRIDES`` are what Knative's SinkBinding puts into a container:
    https://github.com/knative/specs/blob/main/specs/eventing/overview.md#sink-binding

    Raises:
        InputError: One is no URL, or the overrides are not of their shape.
    """
    given = [("--sink", url) for url in urls]
    if environ.get("K_SINK"):
        given.append(("K_SINK", environ["K_SINK"]))
    extensions = _extensions(environ.get(OVERRIDES, ""))
    sinks = [Sink(_checked(field, url), extensions) for field, url in given]
    return tuple({sink.name: sink for sink in sinks}.values())


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


def _extensions(text: str) -> dict[str, str]:
    try:
        content = json.loads(text or "{}")
        extensions = content.get("extensions") or {}
        return {str(name): str(value) for name, value in extensions.items()}
    except (ValueError, AttributeError):
        raise InputError(
            "it is no JSON object with extensions",
            field=OVERRIDES,
            fix='write {"extensions": {"name": "value"}}',
        ) from None
