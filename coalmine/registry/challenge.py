"""What a registry says when it wants to know who asks. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Challenge", "parse_challenge"]

_PARAMETER = re.compile(r'([a-zA-Z]+)=(?:"([^"]*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One ``WWW-Authenticate`` header (RFC 9110, 11.6.1).

    Attributes:
        scheme: ``basic``, ``bearer`` or another; in small letters.
        realm: For ``bearer``, the URL of the token service.
        service: What a token is asked for.
        scope: What the token shall allow, in the registry's words.
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenge(header: str) -> Challenge:
    """Read a challenge; what it does not say is empty."""
    scheme, _, rest = header.strip().partition(" ")
    found = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
    return Challenge(
        scheme.lower(), found.get("realm", ""), found.get("service", ""), found.get("scope", "")
    )
