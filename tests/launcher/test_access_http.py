"""The real command beyond trust: each credential over real HTTP, and the command line's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.launcher.graphs import waiting_pipeline

pytestmark = pytest.mark.integration

TOKEN = "a-token-of-some-length"
KEY = b"k" * 32
ACCESS = """\
tokens:
  - {name: ci, file: token, may: [send, decide], sources: [/test]}
signatures:
  - {name: hub, file: key}
rate: 4
webhook_origins: ["*.example.com"]
"""


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def signature(body: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    digest = hmac.new(KEY, f"m.{stamp}.".encode() + body, hashlib.sha256).digest()
    named = {"webhook_id": "m", "webhook_timestamp": stamp}
    return named | {"webhook_signature": f"v1,{base64.b64encode(digest).decode()}"}


@pytest.fixture
def closed(launched: Callable[..., Any], tmp_path: Path) -> Any:
    (tmp_path / "access.yaml").write_text(ACCESS)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "key").write_text(f"whsec_{base64.b64encode(KEY).decode()}")
    return launched(waiting_pipeline(), real=True, access=tmp_path / "access.yaml", host="0.0.0.0")


def cancel(url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coalmine", "cancel", "r1", "--launcher", url],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_launcher_that_asks_who_it_is(closed: Any, tmp_path: Path) -> None:
    body = closed.event(name="iris")
    unknown = closed.send(body)
    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (
        401,
        'Bearer realm="coalmine"',
    )
    assert unknown.headers["content-type"] == "application/problem+json"
    assert "Authorization: Bearer" in unknown.json()["fix"]
    assert closed.send(body, **signature(body + b" ")).status_code == 401
    assert closed.send(body, **bearer()).status_code == 202
    assert closed.send(body, **signature(body)).status_code == 200
    elsewhere = body.replace(b"/test", b"/elsewhere")
    assert closed.send(elsewhere, **bearer()).status_code == 403
    answers = [closed.send(body, **bearer()) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    open_paths = {
        path: httpx.get(closed.url + path).status_code for path in ("/healthz", "/metrics")
    }
    assert open_paths == {"/healthz": 200, "/metrics": 200}
    assert httpx.get(f"{closed.url}/releases").status_code == 401
    for shown, status, code in (
        (bearer(), 403, "insufficient_scope"),
        (bearer("x" * 20), 401, "invalid_token"),
    ):
        refused = httpx.get(f"{closed.url}/releases", headers=shown)
        assert refused.status_code == status
        assert refused.headers["www-authenticate"].endswith(f'error="{code}"')
    asked = {"webhook-request-origin": "a.example.com", "webhook-request-rate": "100"}
    granted = httpx.options(closed.url, headers=asked).headers
    assert granted["webhook-allowed-rate"] == "4"
    assert "no release r1" in cancel(closed.url, COALMINE_TOKEN=TOKEN).stderr
    (tmp_path / "other").write_text("another-token-of-some-length\n")
    wrong = cancel(closed.url, COALMINE_TOKEN_FILE=str(tmp_path / "other"))
    assert (wrong.returncode, "the token is not known" in wrong.stderr) == (2, True)
    (tmp_path / "token").write_text("another-token-of-some-length")
    closed.wait_for(lambda: closed.send(body, **bearer()).status_code == 401)
    assert TOKEN not in closed.log.read_text()
    (tmp_path / "token").write_text(TOKEN)
    look_again(closed, body, tmp_path / "access.yaml")


def look_again(closed: Any, body: bytes, file: Path) -> None:
    """A changed file holds at once; a wrong one does not, and is told of."""
    file.write_text(ACCESS.replace("[send, decide]", "[approve]"))
    closed.wait_for(lambda: closed.send(body, **bearer()).status_code == 403)
    for verb, status in (("cancel", 403), ("approve", 404), ("none", 403)):
        asked = httpx.post(f"{closed.url}/releases/r1/{verb}", headers=bearer())
        assert asked.status_code == status, verb
    file.write_text("tokens: [{name: ci}]")
    closed.wait_for(lambda: "access rules before still hold" in closed.get("/healthz"))
    assert "coalmine_access_stale 1.0" in closed.get("/metrics")
    assert closed.send(body, **bearer()).status_code == 403
    file.write_text(ACCESS)
    closed.process.send_signal(signal.SIGHUP)
    closed.wait_for(lambda: closed.send(body, **bearer()).status_code == 200)
    assert closed.get("/healthz") == "ok\n"
