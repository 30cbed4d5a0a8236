from __future__ import annotations

from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.registry.address import RemoteReference, Repository, is_loopback, parse_remote
from coalmine.registry.challenge import Challenge, parse_challenge
from coalmine.registry.options import RegistryOptions, options_from
from coalmine.registry.pacing import wait_before_retry

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "tag", "digest"),
    [
        ("ghcr.io/me/iris", "", ""),
        ("oci://ghcr.io/me/iris:v1", "v1", ""),
        (f"docker://ghcr.io/me/iris:v1@{DIGEST}", "v1", DIGEST),
        (f"ghcr.io/me/iris@{DIGEST}", "", DIGEST),
    ],
)
def test_references_are_read(text: str, tag: str, digest: str) -> None:
    read = parse_remote(text)
    assert read == RemoteReference(Repository("ghcr.io", "me/iris"), tag, digest)
    assert str(read) == text.partition("://")[2] or text
    assert read.name == (digest or tag or "latest")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "[::1]:5000", "127.0.0.1:80"])
def test_loopback_is_known_by_its_name(host: str) -> None:
    assert is_loopback(host)
    assert parse_remote(f"{host}/x").repository.host == host
    assert RegistryOptions().is_plain(host)


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.evil.example", "128.0.0.1"])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)
    assert not RegistryOptions().is_plain(host)


@pytest.mark.parametrize(
    "text",
    ["", "iris", "me/iris", "ghcr.io", "ghcr.io/", "ghcr.io/Me/iris", "ghcr.io/me//iris", "a b.c/d",
     "ghcr.io/me/iris:", "ghcr.io/me/iris:a/b", "ghcr.io/me/iris@", "ghcr.io/x@sha256:12",
     "https://ghcr.io/me", "ghcr.io/../x", "user:pw@ghcr.io/me"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^image: ") as caught:
        parse_remote(text, field="image")
    assert caught.value.fix


def test_docker_hub_answers_under_another_name() -> None:
    assert parse_remote("docker.io/library/python").repository.api_host == "registry-1.docker.io"


def test_challenges_are_read() -> None:
    header = (
        'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"'
    )
    assert parse_challenge(header) == Challenge(
        "bearer", "https://auth.example/token", "r", "repository:a/b:pull,push"
    )
    assert parse_challenge("basic Realm=here") == Challenge("basic", "here")
    assert parse_challenge("") == Challenge("")


def test_waits_grow_and_end() -> None:
    assert [wait_before_retry(None, "", n) for n in range(1, 6)] == [0.25, 0.5, 1.0, 2.0, None]
    assert wait_before_retry(404, "", 1) is None
    assert wait_before_retry(429, "3", 1) == 3.0
    assert wait_before_retry(503, "Wed, 21 Oct 2026 07:28:00 GMT", 2) == 0.5


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    environ = {
        "COALMINE_REGISTRY_PLAIN_HTTP": "registry.local:5000, other:80",
        "COALMINE_REGISTRY_CA": str(tmp_path / "ca.pem"),
        "COALMINE_REGISTRY_CHUNK_MIB": "64",
        "DOCKER_CONFIG": "/docker",
        "REGISTRY_AUTH_FILE": "/auth.json",
        "XDG_RUNTIME_DIR": "/run/user/1",
    }
    options = options_from(environ)
    assert options.plain_http == {"registry.local:5000", "other:80"}
    assert options.chunk_bytes == 64 << 20
    assert not options.is_plain("localhost:5000")
    files = ["/auth.json", "/docker/config.json", "/run/user/1/containers/auth.json"]
    assert list(map(str, options.credential_files)) == files
    home = options_from({}, tmp_path)
    assert home.credential_files == (tmp_path / ".docker" / "config.json",)


def test_wrong_options_are_named(tmp_path: Path) -> None:
    for name, value in (("CA", str(tmp_path / "no")), ("CHUNK_MIB", "many")):
        with pytest.raises(InputError, match=f"COALMINE_REGISTRY_{name}"):
            options_from({f"COALMINE_REGISTRY_{name}": value})
