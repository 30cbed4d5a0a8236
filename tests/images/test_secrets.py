from __future__ import annotations

from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.images.layered import LayeredBuilder
from coalmine.images.secrets import is_secret_name


@pytest.mark.parametrize(
    "path",
    [".env", "src/.env", ".env.production", "src/id_rsa", "a/id_ed25519", "key.p12", ".netrc",
     ".aws/credentials", "src/.docker/config.json", ".kube/config", "x.KEYSTORE", ".pypirc"],
)  # fmt: skip
def test_secrets_are_known_by_name(path: str) -> None:
    assert is_secret_name(path)


@pytest.mark.parametrize(
    "path",
    [".env.example", "src/env", "environment.py", "id_rsa.pub", "credentials", "config.json",
     "src/keys.py", "models/x/v1/tokenizer.key", "ca.pem", ".envrc.md"],
)  # fmt: skip
def test_what_only_sounds_like_a_secret_is_not(path: str) -> None:
    assert not is_secret_name(path)


def test_a_bento_with_secrets_is_refused_by_name(context: Path, tmp_path: Path) -> None:
    (context / "src" / ".env").write_text("TOKEN=x")
    (context / "src" / "server.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    (context / "src" / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(InputError, match=r"secrets: src/\.env, src/server\.pem$|pem\n") as caught:
        LayeredBuilder().build(context, str(tmp_path / "images"))
    assert ".bentoignore" in caught.value.fix
    assert "ca.pem" not in caught.value.message
    assert not (tmp_path / "images").exists()
