"""What a Prometheus is sent and whom is trusted, as the HTTP client configuration says."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.metrics.access import VARIABLE, Access, read_access
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import MetricsUnavailableError

BODY = b'{"status": "success", "data": {"resultType": "matrix", "result": []}}'
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server(ThreadingHTTPServer):
    heads: list[dict[str, str]]

    def handle_error(self, *_: object) -> None:
        """A client that is not let in is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.heads.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(context: ssl.SSLContext | None = None) -> Server:
        server = Server(("127.0.0.1", 0), Handler)
        server.heads = []
        if context:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server: Server, access: Access | None, scheme: str = "http") -> dict[str, str]:
    url = f"{scheme}://127.0.0.1:{server.server_port}"
    with PrometheusSource(url, timeout=5, access=access) as source:
        source.query_range("up", start=NOW, end=NOW, step=timedelta(seconds=1))
    return server.heads[-1]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "secret").write_text("s3cret\n")

    def config(text: str) -> Path:
        path = tmp_path / "http.yaml"
        path.write_text(text)
        return path

    return config


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("basic_auth: {username: ann, password: 'pä:ss'}", b"ann:p\xc3\xa4:ss"),
        ("basic_auth: {username: ann, password_file: secret}", b"ann:s3cret"),
    ],
)
def test_basic_auth(serve: Serve, config: Callable[[str], Path], text: str, sent: bytes) -> None:
    head = ask(serve(), read_access(config(text)))
    assert head["authorization"] == "Basic " + base64.b64encode(sent).decode()


def test_a_bearer_token_stands_against_netrc(
    serve: Serve, config: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setattr("coalmine.metrics.prometheus._is_loopback", lambda _: False)
    access = read_access(config("authorization: {credentials_file: secret}"))
    assert ask(serve(), access)["authorization"] == "Bearer s3cret"


def test_headers_name_the_tenant(serve: Serve, config: Callable[[str], Path]) -> None:
    text = "http_headers: {X-Scope-OrgID: {values: [a], files: [secret]}}"
    assert ask(serve(), read_access(config(text)))["x-scope-orgid"] == "a, s3cret"


def test_the_environment_names_the_file(
    serve: Serve, config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(config("authorization: {type: Token, credentials: abc}")))
    assert ask(serve(), None)["authorization"] == "Token abc"
    monkeypatch.delenv(VARIABLE)
    assert "authorization" not in ask(serve(), None)


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, Path]:
    """Make a certificate that is its own authority, for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl on PATH")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=coalmine test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def test_a_private_authority_and_mutual_tls(
    serve: Serve, config: Callable[[str], Path], identity: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    server = serve(context)
    with pytest.raises(MetricsUnavailableError, match="certificate is not trusted"):
        ask(server, Access(), "https")
    assert ask(server, read_access(config("tls_config: {ca_file: cert.pem}")), "https")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    context.load_verify_locations(identity[0])
    context.verify_mode = ssl.CERT_REQUIRED
    strict = serve(context)
    with pytest.raises(MetricsUnavailableError):
        ask(strict, read_access(config("tls_config: {ca_file: cert.pem}")), "https")
    own = "tls_config: {ca_file: cert.pem, cert_file: cert.pem, key_file: key.pem}"
    assert ask(strict, read_access(config(own)), "https")


FAULTS = [
    ("[1]", "the file: is no mapping"),
    ("{", "cannot be read as YAML"),
    ("oauth2: {}", "oauth2: is not known here"),
    ("basic_auth: {username: ann}", "basic_auth.password: is no text"),
    ("basic_auth: {username: ann, pass: x}", "basic_auth.pass: is not known here"),
    ("basic_auth: {username: a, password: b}\nauthorization: {credentials: c}", "beside basic_au"),
    ("authorization: {credentials: 17}", "authorization.credentials: is no text"),
    ("authorization: {credentials_file: nowhere}", "credentials_file: nowhere cannot be read"),
    ("tls_config: {ca_file: nowhere}", "tls_config.ca_file: there is no file"),
    ("tls_config: {cert_file: secret}", "one of cert_file and key_file"),
    ("tls_config: {insecure_skip_verify: 'no'}", "is neither true nor false"),
    ("http_headers: {X-A: {}}", "http_headers.X-A: has no value"),
    ("http_headers: [X-A]", "http_headers: is no mapping"),
]


@pytest.mark.parametrize(("text", "words"), FAULTS)
def test_a_fault_is_named(config: Callable[[str], Path], text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_access(config(text))
    assert words in str(caught.value)


def test_secrets_are_not_shown(config: Callable[[str], Path]) -> None:
    access = read_access(config("basic_auth: {username: ann, password_file: secret}"))
    assert "s3cret" not in repr(access)
    with pytest.raises(InputError) as caught:
        read_access(config("authorization: {credentials: [s3cret]}"))
    assert "s3cret" not in str(caught.value)


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text("no certificate")
    with pytest.raises(InputError, match="a certificate or key cannot be used") as caught:
        PrometheusSource("https://127.0.0.1:1", access=Access(ca_file=str(path)))
    assert VARIABLE in str(caught.value)
