"""The access file: who may send, read and decide, and where their secrets are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from coalmine._base.errors import InputError
from coalmine.launcher.access import Credential, Guarded, token_digest
from coalmine.launcher.buckets import Buckets
from coalmine.launcher.caller import ALL_RIGHTS, DECIDE, Caller, Right
from coalmine.launcher.oidc import Issuer, OidcTokens
from coalmine.launcher.secret import Secret, open_secret
from coalmine.launcher.signature import secret_key
from coalmine.launcher.strictfile import Part, parse_strict, read_text

__all__ = ["load_access"]

SEE = "docs/access.md"
Word = Annotated[str, StringConstraints(min_length=1)]
Words = Annotated[list[Word], Field(min_length=1)]


class _Who(Part):
    name: Word
    may: (
        Annotated[
            list[Literal["send", "read", "decide", "cancel", "retry", "approve", "reject"]],
            Field(min_length=1),
        ]
        | None
    ) = None
    sources: Words | None = None
    types: Words | None = None

    def caller(self) -> Caller:
        named = [DECIDE if one == "decide" else {Right(one)} for one in self.may or ()]
        may = frozenset[Right]().union(*named) or ALL_RIGHTS
        return Caller(self.name, may, tuple(self.sources or ()), tuple(self.types or ()))


class _Held(_Who):
    file: Word | None = None
    env: Word | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("a secret is in a file or in the environment; give one of them")
        return self

    def secret(self, base: Path) -> Secret:
        return Secret(base / self.file if self.file else None, self.env or "", field=self.name)


class _Issuer(_Who):
    issuer: Word
    audience: Word
    subjects: Words | None = None
    jwks: Word | None = None
    ca: Word | None = None
    token_file: Word | None = None

    def made(self, base: Path) -> Issuer:
        jwks = self.jwks or ""
        return Issuer(
            caller=self.caller(),
            url=self.issuer,
            audience=self.audience,
            subjects=tuple(self.subjects or ()),
            jwks=jwks if not jwks or "://" in jwks else str(base / jwks),
            ca=base / self.ca if self.ca else None,
            token_file=base / self.token_file if self.token_file else None,
        )


class _File(Part):
    tokens: Annotated[list[_Held], Field(default_factory=list)]
    signatures: Annotated[list[_Held], Field(default_factory=list)]
    oidc: Annotated[list[_Issuer], Field(default_factory=list)]
    rate: Annotated[int, Field(ge=1)] | None = None
    webhook_origins: Words | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [one.name for one in (*self.tokens, *self.signatures, *self.oidc)]
        if not names:
            raise ValueError("nobody has access: name a token, a signature or an issuer")
        if len(set(names)) != len(names):
            raise ValueError("a name stands twice")
        return self


def load_access(
    path: Path,
    environ: Mapping[str, str],
    own_token: str = "",
    buckets: Buckets | None = None,
) -> Guarded:
    """Read an access file, and the secrets that it names.

    Args:
        path: The file; relative paths in it begin at its folder.
        environ: The environment.
        own_token: A token with which this launcher's own tasks may read.
        buckets: As `Guarded` has it.

    Raises:
        InputError: The file or a secret is wrong; no message holds a secret.
    """
    text = read_text(path, "the access file")
    parsed, _ = parse_strict(text, str(path), _File, see=SEE)
    base = path.parent.absolute()
    tokens = [
        Credential(one.caller(), open_secret(one.secret(base), token_digest, environ))
        for one in parsed.tokens
    ]
    if own_token:
        own = Caller("this launcher's tasks", frozenset({Right.READ}))
        given = open_secret(Secret(env="own"), token_digest, {"own": own_token})
        tokens.append(Credential(own, given))
    signatures = [
        Credential(one.caller(), open_secret(one.secret(base), secret_key, environ))
        for one in parsed.signatures
    ]
    _check_files(parsed, base)
    return Guarded(
        tuple(tokens),
        tuple(signatures),
        OidcTokens(tuple(one.made(base) for one in parsed.oidc)),
        origins=tuple(parsed.webhook_origins or ("*",)),
        rate=parsed.rate,
        buckets=buckets,
    )


def _check_files(parsed: _File, base: Path) -> None:
    for one in parsed.oidc:
        local = one.jwks if one.jwks and "://" not in one.jwks else None
        for name in (local, one.ca, one.token_file):
            if name and not (base / name).is_file():
                raise InputError(f"there is no file {base / name}", field=f"oidc {one.name}")
