"""Wheels made here, and a real index of them that tells when it got each."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def write_wheel(
    folder: Path,
    name: str,
    *,
    tag: str = "py3-none-any",
    version: str = "1.0",
    code: str = "def main():\n    print('it runs')\n",
) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)


@contextmanager
def package_index(
    folder: Path,
    uploaded: dict[str, str] | None = None,
    *,
    before_wheel: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """Serve a folder's wheels as an index (PEP 691, PEP 700) until the end of the block; its URL.

    Args:
        folder: The wheels.
        uploaded: When the index got each of them, by its version; early in 2025 unless given.
        before_wheel: Called before a wheel is given out.
    """
    moments = defaultdict(lambda: "2025-01-01T00:00:00Z") if uploaded is None else uploaded

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            if self.path.startswith("/simple/"):
                found = [_listed(wheel, moments) for wheel in folder.glob(f"{name}-*")]
                content = {"meta": {"api-version": "1.1"}, "name": name, "files": found}
                kind = "application/vnd.pypi.simple.v1+json"
                self._answer(json.dumps(content | {"versions": []}).encode(), kind)
            else:
                before_wheel()
                self._answer((folder / name).read_bytes(), "application/octet-stream")

        def _answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - as http.server calls it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _listed(wheel: Path, uploaded: dict[str, str]) -> dict[str, object]:
    content = wheel.read_bytes()
    version = wheel.name.split("-")[1]
    known = isinstance(uploaded, defaultdict) or version in uploaded
    return {
        "filename": wheel.name,
        "url": f"/wheels/{wheel.name}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
        **({"upload-time": uploaded[version]} if known else {}),
    }


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
