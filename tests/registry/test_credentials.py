from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from bad_registry import BadRegistry, Exchange, bad_registry

from coalmine._base.errors import InputError
from coalmine.registry.address import Repository
from coalmine.registry.client import RemoteRepository
from coalmine.registry.credentials import Credentials, Login, find_login
from coalmine.registry.options import RegistryOptions
from coalmine.registry.source import bytes_source

Opener = Callable[..., AbstractContextManager[RemoteRepository]]
NAMES = ["ghcr.io", "https://ghcr.io", "https://ghcr.io/", "ghcr.io/me"]
BY_URL = ["https://ghcr.io/v1/", "https://ghcr.io/v2", "http://ghcr.io", "ghcr.io/v2/"]
IRIS = Repository("ghcr.io", "me/iris")


def _find(folder: Path, config: object, repository: Repository = IRIS) -> Credentials | None:
    return _login(folder, config, repository).credentials


def _login(folder: Path, config: object, repository: Repository = IRIS) -> Login:
    (folder / "config.json").write_text(json.dumps(config))
    environ = {"PATH": f"{folder}:/usr/bin:/bin"}
    return find_login(repository, (folder / "no.json", folder / "config.json"), environ)


def _auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def _helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\nread host\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("key", NAMES + BY_URL)
def test_a_user_and_password_of_the_file(tmp_path: Path, key: str) -> None:
    config = {"auths": {"other": _auth("no:no"), key: _auth("me:a:b")}}
    assert _find(tmp_path, config) == Credentials("me", "a:b")


def test_the_longest_path_wins(tmp_path: Path) -> None:
    config = {"auths": {"ghcr.io": _auth("all:x"), "ghcr.io/me": _auth("me:x")}}
    assert _find(tmp_path, config) == Credentials("me", "x")
    assert _find(tmp_path, config, Repository("ghcr.io", "you/x")) == Credentials("all", "x")


@pytest.mark.parametrize("key", ["https://ghcr.io/you", "https://ghcr.io.evil.example/v2/", "v2/"])
def test_another_place_is_not_this_one(tmp_path: Path, key: str) -> None:
    assert _find(tmp_path, {"auths": {key: _auth("you:x")}}) is None


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    config = {"auths": {"https://index.docker.io/v1/": _auth("me:x")}}
    found = _find(tmp_path, config, Repository("docker.io", "library/python"))
    assert found == Credentials("me", "x")


def test_an_identity_token(tmp_path: Path) -> None:
    config = {"auths": {"ghcr.io": {"identitytoken": "abc"}}}
    assert _find(tmp_path, config) == Credentials(identity_token="abc")


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert _find(tmp_path, {}) is None
    assert _find(tmp_path, {"auths": {"ghcr.io": {}}}) is None


def test_the_hosts_own_helper_comes_first(tmp_path: Path) -> None:
    _helper(tmp_path, "own", 'echo "{\\"Username\\": \\"$host\\", \\"Secret\\": \\"s\\"}"')
    config = {"credHelpers": {"ghcr.io": "own"}, "credsStore": "all", "auths": {"ghcr.io": {}}}
    assert _find(tmp_path, config) == Credentials("ghcr.io", "s")


def test_a_store_that_knows_nothing_is_passed_over(tmp_path: Path) -> None:
    _helper(tmp_path, "all", 'echo "credentials not found in native keychain"; exit 1')
    config = {"credsStore": "all", "auths": {"ghcr.io": _auth("me:x")}}
    assert _find(tmp_path, config) == Credentials("me", "x")


def test_where_credentials_are_from_is_told_and_why_there_are_none(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    held = {"auths": {"ghcr.io": _auth("me:x")}}
    assert _login(tmp_path, held).told == f"asked as 'me', from {file}"
    none = f"asked without credentials: none for ghcr.io in {tmp_path / 'no.json'}, {file}"
    assert _login(tmp_path, {}).told == none
    _helper(tmp_path, "own", 'printf "sealed \\033[31m" >&2; exit 1')
    told = _login(tmp_path, {"credHelpers": {"ghcr.io": "own"}}).told
    assert told.endswith("docker-credential-own gives none for ghcr.io: sealed [31m")


def test_a_helper_may_give_an_identity_token(tmp_path: Path) -> None:
    _helper(tmp_path, "all", 'echo \'{"Username": "<token>", "Secret": "abc"}\'')
    assert _find(tmp_path, {"credsStore": "all"}) == Credentials(identity_token="abc")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"credsStore": "missing"}, "docker-credential-missing"),
        ({"credsStore": "odd"}, "not as Docker defines"),
        ({"auths": {"ghcr.io": {"auth": "%%"}}}, "entry of ghcr.io cannot be read"),
        ({"auths": ["x"]}, "cannot be read"),
        (["x"], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, config: object, said: str) -> None:
    _helper(tmp_path, "odd", "echo hello")
    with pytest.raises(InputError, match=said):
        _find(tmp_path, config)


def test_passwords_are_not_shown() -> None:
    assert "hidden" not in repr(Credentials("me", "hidden", "hidden"))


@pytest.mark.parametrize("login", [{"username": "me", "password": "x"}, {"identitytoken": "abc"}])
def test_bearer_tokens_are_fetched_once_and_again_when_refused(
    bad: BadRegistry, opener: Opener, tmp_path: Path, login: dict[str, str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {bad.host: login}}))
    options = RegistryOptions(credential_files=(tmp_path / "config.json",))
    with bad_registry() as service, opener(bad.host, options=options) as remote:
        asked: list[str] = []

        def give(exchange: Exchange) -> bool:
            asked.append(exchange.body().decode() or exchange.path)
            return exchange.answer(200, b'{"token": "t%d"}' % len(asked))

        def want(exchange: Exchange) -> bool:
            if exchange.headers.get("Authorization") in good:
                return False
            exchange.body()
            to = f'Bearer realm="http://{service.host}/token",service="here"'
            return exchange.answer(401, WWW_Authenticate=to)

        good = {"Bearer t1", "Bearer t2", "Bearer t3"}
        service.misbehave, bad.misbehave = give, want
        source = bytes_source(b"x" * 1000)
        remote.push_blob(source)
        assert len(asked) == 2  # one to look, one to write
        assert ["scope=repository%3Ame%2Firis%3Apull%2Cpush" in line for line in asked] == [0, 1]
        assert all(("refresh_token=abc" in line) == ("identitytoken" in login) for line in asked)
        good.remove("Bearer t1")
        assert remote.has_blob(source.digest)
        assert len(asked) == 3
    assert bad.blobs[source.digest] == b"x" * 1000


def test_who_writes_asks_for_one_token_that_allows_it(bad: BadRegistry, opener: Opener) -> None:
    """A repository that is not there yet may be hidden from one who would only look at it."""
    asked: list[str] = []

    def give(exchange: Exchange) -> bool:
        asked.append(exchange.path)
        return exchange.answer(*((200, b'{"token": "t"}') if "push" in exchange.path else (403,)))

    def want(exchange: Exchange) -> bool:
        if exchange.headers.get("Authorization") == "Bearer t":
            return False
        exchange.body()
        return exchange.answer(401, WWW_Authenticate=f'Bearer realm="http://{service.host}/t"')

    with bad_registry() as service, opener(bad.host, writes=True) as remote:
        service.misbehave, bad.misbehave = give, want
        assert remote.pull_manifest("v1") is None
        assert not remote.has_manifest("v1")
        assert remote.push_blob(bytes_source(b"x")).sent_bytes == 1
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("realm", "said"),
    [("http://auth.example/token", "has no TLS"), ("", "has no TLS")],
)
def test_credentials_go_to_no_token_service_without_tls(
    bad: BadRegistry, remote: RemoteRepository, realm: str, said: str
) -> None:
    bad.misbehave = lambda e: e.answer(401, WWW_Authenticate=f'Bearer realm="{realm}"')
    with pytest.raises(InputError, match=said):
        remote.has_blob(bytes_source(b"").digest)
