"""As much of BentoCloud's HTTP API as BentoML's client needs to pull a bento and its models.

Nothing but BentoCloud itself can show that it is like this: it was read from BentoML 1.4's client.
"""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["running_cloud"]

_LIST = 6  # the parts of a path that lists versions
_WHEN = "2026-01-01T00:00:00Z"
_RESOURCE: dict[str, object] = {
    "uid": "1", "created_at": _WHEN, "updated_at": None, "deleted_at": None, "name": "x",
    "resource_type": "bento", "labels": [], "description": "", "image_build_status": "success",
    "upload_status": "success", "upload_finished_reason": "", "presigned_upload_url": "",
    "presigned_download_url": "", "transmission_strategy": "proxy", "build_at": _WHEN,
}  # fmt: skip
_MODEL = _RESOURCE | {
    "manifest": {"module": "x", "api_version": "v1", "bentoml_version": "1.4", "size_bytes": 1}
}
_KINDS = {"bento_repositories": ("bentos", _RESOURCE), "model_repositories": ("models", _MODEL)}


@contextmanager
def running_cloud(home: Path, key: str) -> Iterator[str]:
    """Serve the bentos and models of a BENTOML_HOME to who has the key; give the base URL."""

    class Handler(_Handler):
        store, token = home, key

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    store: Path
    token: str

    def do_GET(self) -> None:
        self._send(*self._answer())

    def do_PATCH(self) -> None:
        self._send(*self._answer())

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> tuple[int, bytes]:
        if self.headers.get("X-YATAI-API-TOKEN") != self.token:
            return 401, b'{"error": "wrong token"}'
        # "", api, v1, bento_repositories, NAME, bentos, VERSION, what to do
        parts = self.path.partition("?")[0].split("/")
        kind, resource = _KINDS[parts[3]]
        folder = self.store / kind / parts[4]
        if len(parts) <= _LIST:
            return 200, _listed(folder, resource)
        if not (folder / parts[_LIST]).is_dir():
            return 404, b'{"error": "record not found"}'
        if parts[-1] == "download":
            return 200, _tar(folder / parts[_LIST])
        return 200, json.dumps(resource | {"version": parts[_LIST]}).encode()

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _listed(folder: Path, resource: dict[str, object]) -> bytes:
    versions = sorted(item.name for item in folder.iterdir() if item.is_dir())
    items = [resource | {"version": version} for version in versions[-1:]]
    return json.dumps({"start": 0, "count": 1, "total": len(versions), "items": items}).encode()


def _tar(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, arcname=".")
    return out.getvalue()
