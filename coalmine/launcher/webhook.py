"""The handshake of CloudEvents' webhook specification, by which a sender asks before it sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coalmine.launcher.pattern import matches

__all__ = ["ALLOW", "handshake"]

ALLOW = {"Allow": "POST, OPTIONS"}
"""What may be done where events are sent."""


def handshake(
    headers: Mapping[str, str], *, origins: Sequence[str] = ("*",), rate: int | None = None
) -> dict[str, str]:
    """Decide on a validation request (section 4 of the specification, version 1.0).

    The answer is given at once and never by a callback: a launcher calls no URL that a stranger
    names. It is no permission to send: each request still needs its credentials.

    Args:
        headers: The request's, by lower-case names.
        origins: The senders that are agreed to, with ``*`` for any text.
        rate: The events a minute that one sender may send; None for any number.

    Returns:
        The headers of the answer. Without those named ``WebHook-`` it is no consent.
    """
    origin = headers.get("webhook-request-origin", "")
    if not origin or not matches(origin.lower(), [one.lower() for one in origins]):
        return ALLOW
    return ALLOW | {
        "WebHook-Allowed-Origin": origin,
        "WebHook-Allowed-Rate": _rate(headers.get("webhook-request-rate", ""), rate),
    }


def _rate(asked: str, most: int | None) -> str:
    if most is None:
        return "*"
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else most  # noqa: PLR2004
    return str(max(1, min(wanted, most)))
