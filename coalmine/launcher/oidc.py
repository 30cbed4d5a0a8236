"""Tokens of an OpenID Connect issuer, such as a cluster gives to its service accounts."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import jwt

from coalmine._base.bearer import bearer
from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.caller import AccessError, Caller
from coalmine.launcher.pattern import matches

__all__ = ["Issuer", "OidcTokens"]

logger = logging.getLogger(__name__)

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Asymmetric ones alone: a public key must never be taken for a shared secret."""
LEEWAY_SECONDS = 30
KEYS_SECONDS = 600.0
"""Keys are fetched anew after this time, as those that an issuer withdrew must go."""
AGAIN_SECONDS = 10.0
"""The shortest time between two tries: tokens with made-up keys must not cause more."""
FETCH_SECONDS = 5.0
FAILURES = (
    OSError, ValueError, KeyError, TypeError, httpx.HTTPError, jwt.PyJWTError, InputError,
)  # fmt: skip
"""In which keys cannot be had."""
MOST_REMEMBERED = 1000
OTHER = "use a token of an issuer in the access file"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer that is trusted.

    Attributes:
        caller: Whom its tokens stand for.
        url: The ``iss`` of its tokens.
        audience: The ``aud`` that they must have.
        subjects: Patterns for their ``sub``; empty for any.
        jwks: URL or path of its keys; empty to find it by discovery.
        ca: A file of the authority that signed its certificate; None for those of the system.
        token_file: A token to fetch its keys with; None for no token.
    """

    caller: Caller
    url: str
    audience: str
    subjects: tuple[str, ...] = ()
    jwks: str = ""
    ca: Path | None = None
    token_file: Path | None = None


class _Keys:
    def __init__(self, issuer: Issuer, monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: dict[str | None, Any] = {}
        self._fetched = -KEYS_SECONDS
        self._tried = -KEYS_SECONDS
        self._problem = ""

    def find(self, key_id: str | None) -> object | None:
        known = key_id in self._keys
        # Only who cannot do without waits for an issuer that is slow.
        if self._lock.acquire(blocking=not known):
            try:
                self._refresh(needed=key_id not in self._keys)
            finally:
                self._lock.release()
        key: object | None = self._keys.get(key_id)
        if key is None and self._problem:
            raise CoalmineError(self._problem, fix="see jwks, ca and token_file in the access file")
        return key

    def _refresh(self, *, needed: bool) -> None:
        now = self._monotonic()
        stale = now - self._fetched >= KEYS_SECONDS
        if now - self._tried < AGAIN_SECONDS or not (stale or needed):
            return
        self._tried = now
        try:
            listed = jwt.PyJWKSet.from_dict(self._listed())
        except FAILURES as error:
            self._problem = f"the keys of {self._issuer.url} cannot be read: {error}"
            logger.warning("%s; those that were read before still hold", self._problem)
            return
        self._keys = {key.key_id: key.key for key in listed.keys}
        self._fetched, self._problem = now, ""

    def _listed(self) -> dict[str, Any]:
        where = self._issuer.jwks
        if where and "://" not in where:
            listed: dict[str, Any] = json.loads(Path(where).read_text(encoding="utf-8"))
            return listed
        with self._client() as client:
            if not where:
                base = self._issuer.url.rstrip("/")
                found = _get(client, f"{base}/.well-known/openid-configuration")
                if found["issuer"] != self._issuer.url:
                    raise ValueError(f"it says that it is {found['issuer']}")
                where = found["jwks_uri"]
            return _get(client, where)

    def _client(self) -> httpx.Client:
        ca, token = self._issuer.ca, self._issuer.token_file
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        headers = bearer(token.read_text(encoding="utf-8") if token else "")
        return httpx.Client(verify=context, headers=headers, timeout=FETCH_SECONDS)


def _get(client: httpx.Client, url: str) -> dict[str, Any]:
    answer = client.get(url)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


class OidcTokens:
    """Checks tokens; those that were good are remembered until they expire.

    Args:
        issuers: Those that are trusted.
        clock: Seconds since 1970.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        issuers: tuple[Issuer, ...],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {issuer.url: (issuer, _Keys(issuer, monotonic)) for issuer in issuers}
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def remembered(self, token: str) -> Caller | None:
        """Give the caller of a token that was good before and has not expired since."""
        caller, until = self._remembered.get(token, (None, 0.0))
        return caller if self._clock() < until else None

    def check(self, token: str) -> Caller:
        """Check a token; may fetch its issuer's keys, so it takes a while.

        Raises:
            AccessError: It is not good; the message says why, and not what it holds.
            CoalmineError: The issuer's keys cannot be had; try again.
        """
        try:
            issuer, keys = self._issuers[_claimed_issuer(token)]
            key: Any = keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise _not_good("the issuer has no such key")
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=issuer.audience,
                issuer=issuer.url,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except KeyError:
            raise _not_good("its issuer is not known here") from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _not_good(str(error)) from None
        return self._remember(token, _caller(issuer, str(claims["sub"])), float(claims["exp"]))

    def _remember(self, token: str, caller: Caller, until: float) -> Caller:
        self._remembered[token] = (caller, min(until, self._clock() + KEYS_SECONDS))
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return caller


def _claimed_issuer(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return str(claims.get("iss", ""))


def _caller(issuer: Issuer, subject: str) -> Caller:
    if issuer.subjects and not matches(subject, issuer.subjects):
        raise AccessError(
            f"{subject} of {issuer.url} has no access here",
            status=403,
            fix="add it to the subjects in the access file",
        )
    caller = issuer.caller
    return replace(caller, name=f"{caller.name}:{subject}")


def _not_good(why: str) -> AccessError:
    message = f"the token is not good: {why}"
    return AccessError(message, status=401, fix=OTHER, code="invalid_token")
