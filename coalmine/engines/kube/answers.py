"""What the answers of a Kubernetes API server mean: what was refused, why, and what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coalmine._base.errors import CoalmineError
from coalmine.engines.protocol import BusyError

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "CONFLICT",
    "GONE",
    "NOT_FOUND",
    "Asked",
    "KubeError",
    "Object",
    "Resource",
    "event_of",
    "is_about_name",
    "refusal",
]

Object = dict[str, Any]
GONE = 410
TOO_MANY = 429
NOT_FOUND = 404
CONFLICT = 409
PRODUCTS = {"tekton.dev": "Tekton Pipelines", "argoproj.io": "Argo Workflows"}
"""By the group of their kinds."""
FIXES = {
    401: "see that the token or the certificate is still good",
    403: "give the account the rights in docs/engines.md",
    404: "see that the namespace exists",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, by its place in paths."""

    version: str
    plural: str

    @property
    def root(self) -> str:
        """The path under which its API group and version stand."""
        return f"apis/{self.version}" if "/" in self.version else f"api/{self.version}"

    @property
    def group(self) -> str:
        """Its API group; empty for the core."""
        return self.version.partition("/")[0] if "/" in self.version else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of a server.

    Attributes:
        verb: As access rules name it.
        resource: The kind of object; None for what is no object's.
        where: The namespace, or what else was asked for.
    """

    verb: str
    resource: Resource | None
    where: str

    def __str__(self) -> str:
        if self.resource is None:
            return f"{self.verb} {self.where}"
        return f"{self.verb} {self.resource.plural} in {self.where}"


class KubeError(CoalmineError):
    """The API server refused.

    Args:
        message: What was asked for, and what the server said.
        code: The HTTP status.
        fix: What the user can do.
    """

    def __init__(self, message: str, code: int, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


def is_about_name(answer: httpx2.Response) -> bool:
    """Tell a taken or absent name from a path that the server does not know at all."""
    body = _status(answer)
    if answer.status_code == CONFLICT:
        return body.get("reason") == "AlreadyExists"
    return body.get("reason") == "NotFound" and "name" in (body.get("details") or {})


def refusal(asked: Asked, answer: httpx2.Response, server: str) -> CoalmineError:
    """Say why something was refused."""
    body = _status(answer)
    if answer.status_code == NOT_FOUND and not body and asked.resource:
        return _no_such_kind(asked.resource, server)
    said = body.get("message") or answer.text.strip()[:200] or answer.reason_phrase
    message = f"{server} did not let us {asked}: {answer.status_code}: {said}"
    if answer.status_code == TOO_MANY:
        return BusyError(message, _seconds(answer.headers.get("retry-after", "")))
    return KubeError(message, answer.status_code, fix=FIXES.get(answer.status_code, ""))


def _no_such_kind(resource: Resource, server: str) -> KubeError:
    """A path that no kind has is answered with plain text."""
    product = PRODUCTS.get(resource.group, resource.group)
    return KubeError(
        f"the cluster at {server} has no {resource.plural} ({resource.version}): "
        f"{product} is not installed in it",
        NOT_FOUND,
        fix=f"install {product} in it, or name another cluster with --kubeconfig",
    )


def event_of(line: str, resource: Resource) -> Object:
    """Read an event of a watch.

    Raises:
        KubeError: It says that the watch is at an end; 410 means to list again.
        CoalmineError: It is none.
    """
    try:
        event: Object = json.loads(line)
    except ValueError:
        raise CoalmineError(f"the watch of {resource.plural} was cut off") from None
    if event["type"] == "ERROR":
        status = event["object"]
        raise KubeError(f"watch {resource.plural}: {status.get('message')}", int(status["code"]))
    return event


def _status(answer: httpx2.Response) -> Object:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0
