"""Debian's docker-registry as a company runs it: behind TLS of its own, with a token service.

Source: Docker Registry v2 authentication via central service, and its JSON Web Token format.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from real_registry import RealRegistry, running_registry

__all__ = ["USER", "PrivateRegistry", "private_registry"]

USER = ("me", "secret")
_SERVICE, _ISSUER = "registry.example.com", "tokens.example.com"


@dataclass(frozen=True)
class PrivateRegistry:
    """A running registry.

    Attributes:
        registry: The registry itself.
        ca: The certificate that it, and its token service, are known by.
        asked: The scopes that tokens were asked for.
    """

    registry: RealRegistry
    ca: Path
    asked: list[str]

    @property
    def host(self) -> str:
        return self.registry.host


@contextmanager
def private_registry(folder: Path) -> Iterator[PrivateRegistry]:
    """Run one in a folder until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    key, ca = folder / "key.pem", folder / "ca.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [*words.split(), *names, "-keyout", str(key), "-out", str(ca)]
    subprocess.run(made, check=True, capture_output=True)
    asked: list[str] = []
    tokens = ThreadingHTTPServer(("127.0.0.1", 0), _handler(key, ca, asked))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, key)
    tokens.socket = tls.wrap_socket(tokens.socket, server_side=True)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    auth: dict[str, object] = {
        "token": {
            "realm": f"https://127.0.0.1:{tokens.server_port}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(ca),
        }
    }
    http: dict[str, object] = {"tls": {"certificate": str(ca), "key": str(key)}}
    try:
        with running_registry(folder / "registry", http=http, auth=auth) as running:
            yield PrivateRegistry(running, ca, asked)
    finally:
        tokens.shutdown()
        tokens.server_close()


def _handler(key: Path, certificate: Path, asked: list[str]) -> type[BaseHTTPRequestHandler]:
    private = cast("EllipticCurvePrivateKey", load_pem_private_key(key.read_bytes(), None))
    chain = "".join(certificate.read_text().splitlines()[1:-1])
    wanted = "Basic " + base64.b64encode(":".join(USER).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.extend(scopes := parse_qs(urlsplit(self.path).query).get("scope", []))
            known = self.headers.get("Authorization", "") == wanted
            said = {"token": _token(private, chain, scopes)} if known else {"details": "wrong"}
            body = json.dumps(said).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _token(key: EllipticCurvePrivateKey, chain: str, scopes: list[str]) -> str:
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {
        "iss": _ISSUER,
        "aud": _SERVICE,
        "sub": USER[0],
        "exp": now + 300,
        "nbf": now - 60,
        "iat": now,
        "jti": str(now),
        "access": access,
    }
    said = _part({"typ": "JWT", "alg": "ES256", "x5c": [chain]}) + b"." + _part(claims)
    r, s = decode_dss_signature(key.sign(said, ECDSA(SHA256())))
    return (said + b"." + _text(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def _part(content: object) -> bytes:
    return _text(json.dumps(content).encode())


def _text(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
