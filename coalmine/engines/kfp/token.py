"""The token that is shown to Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx

from coalmine._base.bearer import bearer
from coalmine._base.errors import CoalmineError, InputError

__all__ = ["TokenFile", "pod_token"]

UNAUTHORIZED = 401
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow mounts a pod's token (its documentation, "Connect the SDK to the API")."""


class TokenFile(httpx.Auth):
    """Shows a token from a file, which is read again when the token was refused: pods' are renewed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown: dict[str, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Show the token, and once more if it was refused."""
        self._shown = self._shown or self._read()
        request.headers.update(self._shown)
        answer = yield request
        if answer.status_code == UNAUTHORIZED:
            self._shown = self._read()
            request.headers.update(self._shown)
            yield request

    def _read(self) -> dict[str, str]:
        try:
            return bearer(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, InputError) as error:
            raise CoalmineError(
                f"the token for Kubeflow Pipelines cannot be read: {error}"
            ) from None


def pod_token() -> Path | None:
    """Find the token that a pod in the cluster has for the API."""
    return POD_TOKEN if POD_TOKEN.is_file() else None
