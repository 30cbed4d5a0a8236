"""A company's registry, as a user meets it: TLS of its own, a token service, a login."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_registry import USER, PrivateRegistry, private_registry
from real_registry import find_registry

from tests.stores.conftest import write_bento

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_registry() is None or shutil.which("openssl") is None,
        reason="needs docker-registry and openssl",
    ),
]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRegistry]:
    with private_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any login."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _log_in(home: Path, host: str, user: tuple[str, str] = USER) -> None:
    """Write what ``docker login`` writes."""
    auth = base64.b64encode(":".join(user).encode()).decode()
    config = {"auths": {host: {"auth": auth}}}
    (home / ".docker" / "config.json").write_text(json.dumps(config))


def _use_helper(home: Path, host: str, script: str) -> None:
    helper = home / "docker-credential-vault"
    helper.write_text(f"#!/bin/sh\nread host\n{script}\n")
    helper.chmod(0o755)
    config = {"credHelpers": {host: "vault"}}
    (home / ".docker" / "config.json").write_text(json.dumps(config))


def test_who_may_not_is_told_what_was_missing(
    registry: PrivateRegistry, home: Path, coalmine: Run, tmp_path: Path
) -> None:
    write_bento(tmp_path / "bentos")
    host, path = registry.host, f"{home}:{os.environ['PATH']}"

    def told(**environment: str) -> str:
        trusting = {"COALMINE_REGISTRY_CA": str(registry.ca), "PATH": path} | environment
        source = ("--source", tmp_path / "bentos", "--state", tmp_path / "state")
        done = coalmine("push", "iris:v1", f"oci://{host}/team/bentos", *source, **trusting)
        assert done.returncode == 2
        return done.stderr

    assert f"{host} wants TLS, and was asked without" in told(COALMINE_REGISTRY_CA="")
    said = told()
    assert f"answered 401 (asked without credentials: none for {host} in {home}/.docker" in said
    assert f"docker login {host}" in said
    _log_in(home, host, ("me", "forgotten"))
    assert f"(asked as 'me', from {home}/.docker/config.json)" in told()
    _use_helper(home, host, "echo the vault is sealed >&2; exit 1")
    assert f"docker-credential-vault gives none for {host}: the vault is sealed" in told()


def test_a_bento_is_pushed_retrieved_and_built_with_a_login(
    registry: PrivateRegistry, home: Path, coalmine: Run, tmp_path: Path
) -> None:
    """Each on a machine of its own; the first has a helper, the others a file."""
    write_bento(tmp_path / "bentos")
    host, path = registry.host, f"{home}:{os.environ['PATH']}"
    trusting = {"COALMINE_REGISTRY_CA": str(registry.ca), "PATH": path}
    bentos = f"oci://{host}/company/bentos"
    secret = json.dumps({"Username": USER[0], "Secret": USER[1]})
    _use_helper(home, host, f"echo '{secret}'")
    pushed = coalmine("push", "iris:v1", bentos, "--source", tmp_path / "bentos", **trusting)
    assert pushed.returncode == 0, pushed.stderr
    _log_in(home, host)
    said = tmp_path / "said"
    for words in (
        ("retrieve", "--name", "iris", "--store", bentos, "--contexts", f"oci://{host}/company/c"),
        ("build", "--repository", f"{host}/company/iris", "--base-image", "none"),
    ):
        given = ("--context", said.read_text()) if words[0] == "build" else ()
        output = "--image-path" if words[0] == "build" else "--context-path"
        state = tmp_path / words[0]
        done = coalmine("step", *words, *given, output, said, "--state", state, **trusting)
        assert done.returncode == 0, done.stderr
    assert said.read_text().startswith(f"{host}/company/iris@sha256:")
    assert "repository:company/iris:pull,push" in registry.asked
