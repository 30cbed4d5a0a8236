"""TLS in front of a server that speaks without, by an authority that nobody knows."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["tls_front"]

_NEW = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


@contextmanager
def tls_front(folder: Path, port: int) -> Iterator[tuple[int, Path]]:
    """Run it until the end of the block; its port, and its authority's certificate.

    Args:
        folder: Where keys and certificates go.
        port: Of the server behind it, on this machine.
    """
    _write_certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, tls, port), daemon=True)
        thread.start()
        yield server.getsockname()[1], folder / "ca.pem"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _write_certificates(folder: Path) -> None:
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for words in (
        f"{_NEW} -x509 -subj /CN=ours -keyout ca.key -out ca.pem",
        f"{_NEW} -subj /CN=here -keyout leaf.key -out leaf.csr",
        "x509 -req -out leaf.pem -in leaf.csr -CA ca.pem -CAkey ca.key -extfile names",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


def _serve(server: socket.socket, tls: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            came, _ = server.accept()
            threading.Thread(target=_connect, args=(came, tls, port), daemon=True).start()


def _connect(came: socket.socket, tls: ssl.SSLContext, port: int) -> None:
    with (
        suppress(OSError),
        tls.wrap_socket(came, server_side=True) as outer,
        socket.create_connection(("127.0.0.1", port)) as inner,
    ):
        back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
        back.start()
        _copy(outer, inner)
        back.join()


def _copy(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
