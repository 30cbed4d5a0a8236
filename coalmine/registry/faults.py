"""What a registry's answer means when it is not the one that was hoped for. Pure."""

from __future__ import annotations

import json

from coalmine._base.errors import CoalmineError, InputError

__all__ = ["RegistryError", "fault_of", "unreachable"]

_BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER = 400, 401, 403, 404, 429, 500
_TOO_LARGE = 413
_FINAL = {
    _FORBIDDEN: "give the user the right to do this, or log in as another",
    _NOT_FOUND: "see that the name is right and that the user may see it",
    _TOO_LARGE: "let what lies before the registry take more (nginx: client_max_body_size 0), or "
    "send smaller parts: COALMINE_REGISTRY_CHUNK_MIB=10",
}
_WANTS_TLS = b"HTTPS"  # in the words of Go's server, and of nginx and Apache
_SAID_CHARACTERS = 200


class RegistryError(CoalmineError):
    """A registry failed; what was asked may be asked again.

    Args:
        message: What is wrong.
        fix: What to do.
        status: What was answered; None if nothing was.
        retry_after: The header of that name, or empty.
    """

    def __init__(
        self, message: str, *, fix: str = "", status: int | None = None, retry_after: str = ""
    ) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.retry_after = retry_after


def unreachable(what: str, error: Exception) -> RegistryError:
    """Make the error of a connection that failed."""
    said = str(error) or type(error).__name__
    return RegistryError(
        f"{what}: the connection failed: {said}",
        fix="see that the registry runs and can be reached; for a private certificate authority "
        "set COALMINE_REGISTRY_CA, for one without TLS COALMINE_REGISTRY_PLAIN_HTTP",
    )


def fault_of(
    what: str, status: int, retry_after: str, body: bytes, *, host: str, told: str
) -> CoalmineError:
    """Make the error of an answer.

    Args:
        what: What was asked, of whom.
        status: The answer's status.
        retry_after: Its ``Retry-After`` header.
        body: Its body, or the beginning of it.
        host: The registry, as one logs in there.
        told: As whom it was asked; empty if it has not wanted to know.

    Returns:
        An InputError where trying again cannot help; else a RegistryError.
    """
    message = f"{what}: the registry answered {status}{_said(body)}"
    if told and status in {_UNAUTHORIZED, _FORBIDDEN}:
        message += f" ({told})"
    if status == _UNAUTHORIZED:
        return InputError(
            message,
            fix=f"log in: docker login {host}; or name the file that has the "
            "credentials in DOCKER_CONFIG or REGISTRY_AUTH_FILE",
        )
    if status == _BAD and _WANTS_TLS in body:
        return InputError(
            f"{what}: {host} wants TLS, and was asked without",
            fix="take it out of COALMINE_REGISTRY_PLAIN_HTTP; on this machine itself, where TLS is "
            "not expected, name its certificate authority in COALMINE_REGISTRY_CA",
        )
    if status in _FINAL:
        return InputError(message, fix=_FINAL[status])
    if status == _TOO_MANY:
        fix = "wait, or log in: registries limit those who do not more"
        return RegistryError(message, fix=fix, status=status, retry_after=retry_after)
    if status >= _SERVER:
        fix = "try again later; see the registry's own log"
        return RegistryError(message, fix=fix, status=status, retry_after=retry_after)
    return RegistryError(message, status=status)


def _said(body: bytes) -> str:
    """Give the registry's own words, as the specification shapes them, if there are any."""
    try:
        first = json.loads(body)["errors"][0]
        said = f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return f": {said[:_SAID_CHARACTERS]}" if said.isprintable() else ""
