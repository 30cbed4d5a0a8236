"""Decides who sent a request: by a bearer token, a webhook's signature, or nobody needs to know."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from coalmine.launcher.buckets import Buckets
from coalmine.launcher.caller import AccessError, Caller, Right, check_right
from coalmine.launcher.rate import RateLimit
from coalmine.launcher.reloaded import Reloaded
from coalmine.launcher.signature import is_signed, signs

if TYPE_CHECKING:  # its libraries take a while, and few launchers know an issuer
    from coalmine.launcher.oidc import OidcTokens

__all__ = ["Access", "Credential", "Guarded", "OpenAccess", "token_digest"]

LEAST_TOKEN_BYTES = 16
UNKNOWN = "send Authorization: Bearer TOKEN with a token that the launcher knows"


class Access(Protocol):
    """What the HTTP face asks before it does anything."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Patterns of the webhook senders that are agreed to."""

    @property
    def rate(self) -> int | None:
        """The events a minute that one caller may send; None for any number."""

    async def admit(self, headers: Mapping[str, str], right: Right) -> Caller | None:
        """Find out who asks and see that they may; None if only the body can tell.

        Raises:
            AccessError: It is not known who asks, or they may not.
            CoalmineError: It cannot be found out now.
        """

    def admit_signed(self, headers: Mapping[str, str], body: bytes) -> Caller:
        """Find out who signed a body.

        Raises:
            AccessError: Nobody who is known.
        """

    def count(self, caller: Caller, events: int) -> None:
        """Count events that a caller sends.

        Raises:
            AccessError: They are too many for now.
        """


class OpenAccess:
    """Everybody on this machine may do everything; but no web page that they look at."""

    origins: tuple[str, ...] = ("*",)
    rate: int | None = None

    async def admit(self, headers: Mapping[str, str], right: Right) -> Caller:
        """Let everybody in who is no web page, as browsers say it."""
        if right is not Right.READ and "origin" in headers:
            raise AccessError(
                f"web pages may not {right} here",
                status=403,
                fix="use the coalmine command, or start the launcher with --access",
            )
        return Caller("anybody")

    def admit_signed(self, headers: Mapping[str, str], body: bytes) -> Caller:  # noqa: ARG002
        """Take any signature, as none is needed."""
        return Caller("anybody")

    def count(self, caller: Caller, events: int) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret and whom it stands for.

    Attributes:
        caller: Who holds it.
        secrets: Those that are good now: digests of tokens, or keys of signatures.
    """

    caller: Caller
    secrets: Reloaded[tuple[bytes, ...]]


class Guarded:
    """Asks for a credential.

    Args:
        tokens: Bearer tokens.
        signatures: Keys of webhooks.
        oidc: Tokens of issuers.
        origins: Webhook senders that are agreed to.
        rate: Events a minute for one caller.
        clock: Seconds since 1970.
        monotonic: Seconds that only grow.
        buckets: Where it is counted what callers send; in this object unless given.
    """

    def __init__(
        self,
        tokens: tuple[Credential, ...],
        signatures: tuple[Credential, ...],
        oidc: OidcTokens,
        *,
        origins: tuple[str, ...] = ("*",),
        rate: int | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        buckets: Buckets | None = None,
    ) -> None:
        self.origins = origins
        self.rate = rate
        self._tokens = tokens
        self._signatures = signatures
        self._oidc = oidc
        self._clock = clock
        self._limit = RateLimit(rate, monotonic, buckets) if rate else None

    async def admit(self, headers: Mapping[str, str], right: Right) -> Caller | None:
        """See `Access`."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme and is_signed(headers) and right is Right.SEND and self._signatures:
            return None
        if scheme.lower() != "bearer" or not token:
            raise AccessError("it is not known who asks", status=401, fix=UNKNOWN)
        caller = await self._caller_of(token.strip())
        check_right(caller, right)
        return caller

    async def _caller_of(self, token: str) -> Caller:
        # A digest is compared: how long that takes tells nothing of the tokens.
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        for credential in self._tokens:
            if any([hmac.compare_digest(digest, one) for one in credential.secrets()]):  # noqa: C419
                return credential.caller
        if token.count(".") == 2:  # noqa: PLR2004 - the form of a signed JWT
            if remembered := self._oidc.remembered(token):
                return remembered
            return await asyncio.to_thread(self._oidc.check, token)
        raise AccessError("the token is not known", status=401, fix=UNKNOWN, code="invalid_token")

    def admit_signed(self, headers: Mapping[str, str], body: bytes) -> Caller:
        """See `Access`."""
        for credential in self._signatures:
            if signs(credential.secrets(), headers, body, self._clock()):
                check_right(credential.caller, Right.SEND)
                return credential.caller
        raise AccessError(
            "the signature is not good, or older than five minutes",
            status=401,
            fix="sign id.timestamp.body with a secret that the launcher knows",
        )

    def count(self, caller: Caller, events: int) -> None:
        """See `Access`."""
        if self._limit and (wait := self._limit.take(caller.name, events)):
            raise AccessError(
                f"{caller.name} has sent more than {self.rate} events a minute",
                status=429,
                fix=f"send again after {wait} seconds",
                retry_after=wait,
            )


def token_digest(token: str) -> bytes:
    """Make what a token is compared with.

    Raises:
        ValueError: It is too short to be a secret.
    """
    if len(token.encode()) < LEAST_TOKEN_BYTES:
        raise ValueError(f"it has less than {LEAST_TOKEN_BYTES} bytes")
    if not token.isascii() or " " in token:
        raise ValueError("it has characters that a header cannot carry")
    return hashlib.sha256(token.encode()).digest()
