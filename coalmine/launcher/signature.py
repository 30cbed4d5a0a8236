"""Signatures of webhooks, by the scheme of https://www.standardwebhooks.com (symmetric, ``v1``)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

__all__ = ["is_signed", "secret_key", "signs"]

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"
LEAST_BYTES = 24
"""As the scheme has it."""


def is_signed(headers: Mapping[str, str]) -> bool:
    """Tell whether a request claims to be signed."""
    return "webhook-signature" in headers


def secret_key(text: str) -> bytes:
    """Decode a secret, ``whsec_`` and base64.

    Raises:
        ValueError: It is none.
    """
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is no base64") from None
    if len(key) < LEAST_BYTES:
        raise ValueError(f"it has less than {LEAST_BYTES} bytes")
    return key


def signs(keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Tell whether one of several keys signed a request lately.

    The signature is the HMAC-SHA256 of ``id.timestamp.body``, in base64 behind ``v1,``; several
    stand in one header, with spaces between them.

    Args:
        keys: Decoded.
        headers: By lower-case names.
        body: The whole body.
        now: Seconds since 1970.
    """
    stamp = headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp[:15])) > TOLERANCE_SECONDS:
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode("latin-1") + body
    given = [one.partition(",") for one in headers["webhook-signature"].split(" ")[:20]]
    candidates = [value.encode("latin-1") for version, _, value in given if version == "v1"]
    found = False
    for key in keys:
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        # Every pair is compared: how long it takes tells nothing.
        found |= any([hmac.compare_digest(expected, one) for one in candidates])  # noqa: C419
    return found
