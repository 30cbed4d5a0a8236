"""What the server says when it refuses: `Status` objects."""

from __future__ import annotations

from typing import Any

from tests.kubeapi.kinds import Kind

__all__ = [
    "ApiError",
    "already_exists",
    "bad_patch",
    "bad_request",
    "conflict",
    "denied",
    "forbidden",
    "gone",
    "not_found",
    "too_many",
    "unauthorized",
    "unsupported_media_type",
]


class ApiError(Exception):
    """A refusal.

    Attributes:
        body: The `Status` object.
        headers: What the answer's header carries besides.
    """

    def __init__(self, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(body["message"])
        self.body = body
        self.headers = headers or {}

    @property
    def code(self) -> int:
        return int(self.body["code"])


def _status(
    code: int,
    reason: str,
    message: str,
    details: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> ApiError:
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
    body |= {"status": "Failure", "message": message, "reason": reason}
    if details is not None:
        body["details"] = details
    return ApiError(body | {"code": code}, headers)


def _about(kind: Kind, name: str) -> dict[str, Any]:
    group = {"group": kind.group} if kind.group else {}
    return {"name": name, **group, "kind": kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    return _status(404, "NotFound", f'{kind.resource} "{name}" not found', _about(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    message = f'{kind.resource} "{name}" already exists'
    return _status(409, "AlreadyExists", message, _about(kind, name))


def conflict(kind: Kind, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    return _status(409, "Conflict", message, _about(kind, name))


def bad_patch() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return _status(422, "Invalid", message, {})


def bad_request(message: str) -> ApiError:
    return _status(400, "BadRequest", message)


def unsupported_media_type() -> ApiError:
    accepted = "application/json-patch+json, application/merge-patch+json"
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
    ) + accepted
    return _status(415, "UnsupportedMediaType", message)


def forbidden(kind: Kind, verb: str, namespace: str, user: str) -> ApiError:
    message = (
        f'{kind.resource} is forbidden: User "{user}" cannot {verb} resource "{kind.plural}"'
        f' in API group "{kind.group}" in the namespace "{namespace}"'
    )
    return _status(403, "Forbidden", message, {"group": kind.group, "kind": kind.plural})


def unauthorized() -> ApiError:
    return _status(401, "Unauthorized", "Unauthorized")


def denied(webhook: str, why: str, code: int = 403) -> ApiError:
    """An admission webhook says no."""
    reason = {400: "BadRequest", 403: "Forbidden"}.get(code, "Invalid")
    return _status(code, reason, f'admission webhook "{webhook}" denied the request: {why}')


def gone(asked: int, oldest: int) -> ApiError:
    return _status(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_many(retry_after: int) -> ApiError:
    message = "the server has received too many requests and has asked us to try again later"
    details = {"retryAfterSeconds": retry_after}
    headers = {"Retry-After": str(retry_after)}
    return _status(429, "TooManyRequests", message, details, headers)
