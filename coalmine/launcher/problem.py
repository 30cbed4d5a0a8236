"""What is wrong with a request, as an RFC 9457 problem document that says what to do about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from coalmine._base.errors import CoalmineError, InputError
from coalmine.events import BatchError, EventError
from coalmine.launcher.admission import ConflictError
from coalmine.launcher.bindings import NotTakenError
from coalmine.launcher.caller import AccessError
from coalmine.launcher.retry import NoRetryError

__all__ = ["RETRY_SECONDS", "problem", "refusal", "status_of"]

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5


def problem(
    status: int,
    detail: str,
    fix: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """Make a problem document; members that are empty are left out."""
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "fix": fix}
    return JSONResponse(
        content | {name: value for name, value in more.items() if value},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def status_of(error: CoalmineError) -> int:
    """Give the HTTP status that tells a sender of an error."""
    if isinstance(error, EventError | AccessError):
        return error.status
    if isinstance(error, BatchError):
        return status_of(next(iter(error.problems.values())))
    if isinstance(error, ConflictError | NoRetryError):
        return HTTPStatus.CONFLICT
    if isinstance(error, NotTakenError):
        # The message is a good event at the right place: only its content finds no taker.
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return (
        HTTPStatus.BAD_REQUEST if isinstance(error, InputError) else HTTPStatus.SERVICE_UNAVAILABLE
    )


def refusal(error: CoalmineError) -> Response:
    """Answer with what is wrong; what is not the sender's fault is logged, and can be repeated."""
    status = int(status_of(error))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        logger.error(error.message, extra={"fix": error.fix})
        return problem(
            status, error.message, error.fix, headers={"Retry-After": str(RETRY_SECONDS)}
        )
    errors = error.problems if isinstance(error, BatchError) else {}
    return problem(
        status,
        error.message,
        error.fix,
        headers=_headers(error),
        field=getattr(error, "field", ""),
        errors=[_entry(place, one) for place, one in errors.items()],
    )


def _headers(error: CoalmineError) -> dict[str, str]:
    if not isinstance(error, AccessError):
        return {}
    if error.status == HTTPStatus.UNAUTHORIZED or error.code:
        said = f', error="{error.code}"' if error.code else ""
        return {"WWW-Authenticate": f'Bearer realm="coalmine"{said}'}
    return {"Retry-After": str(error.retry_after)} if error.retry_after else {}


def _entry(place: int, error: InputError) -> dict[str, object]:
    said = {"field": error.field} if error.field else {}
    about = {"event": place, "status": int(status_of(error)), "detail": error.message}
    return about | {"fix": error.fix} | said
