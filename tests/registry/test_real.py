"""Against Debian's docker-registry."""

from __future__ import annotations

import io
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from real_registry import RealRegistry, find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.registry.address import Repository
from coalmine.registry.client import Manifest, RemoteRepository, open_repository
from coalmine.registry.digest import digest_of
from coalmine.registry.options import RegistryOptions
from coalmine.registry.referrers import list_referrers, push_referrers
from coalmine.registry.source import bytes_source, file_source

Opener = Callable[..., AbstractContextManager[RemoteRepository]]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_registry() is None, reason="docker-registry cannot be had here"),
]
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
BLOB = random.Random(2).randbytes(5_000_000)
# bcrypt of "secret"
HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def _image(remote: RemoteRepository, *, subject: str = "") -> Manifest:
    config = bytes_source(b"{}")
    remote.push_blobs([config, config])
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    content = {
        "schemaVersion": 2,
        "mediaType": IMAGE_TYPE,
        "config": described | {"digest": config.digest},
        "layers": [],
    }
    if subject:
        content["subject"] = {"mediaType": IMAGE_TYPE, "digest": subject, "size": 1}
    # A layout of JSON that nothing which parsed it would write again.
    return Manifest(json.dumps(content, indent=7).encode(), IMAGE_TYPE)


@pytest.mark.parametrize("chunk", [0, 2_000_000])
def test_blobs_come_back_as_they_went(
    registry: RealRegistry, opener: Opener, tmp_path: Path, chunk: int
) -> None:
    (tmp_path / "blob").write_bytes(BLOB + bytes([bool(chunk)]))
    source = file_source(tmp_path / "blob", digest_of((tmp_path / "blob").read_bytes()))
    with opener(registry.host, options=RegistryOptions(chunk_bytes=chunk)) as remote:
        assert remote.push_blob(source).sent_bytes == source.size
        assert remote.push_blob(source).reused_bytes == source.size
        out = io.BytesIO()
        assert remote.pull_blob(source.digest, out) == source.size
    assert out.getvalue() == (tmp_path / "blob").read_bytes()


def test_the_digest_pushed_is_the_digest_built(registry: RealRegistry, opener: Opener) -> None:
    with opener(registry.host) as remote:
        manifest = _image(remote)
        remote.push_manifest(manifest, "v1")
        assert remote.has_manifest(manifest.digest)
        assert remote.pull_manifest("v1") == manifest
        assert remote.pull_manifest(manifest.digest) == manifest
        assert remote.pull_manifest("v2") is None
    assert registry.blob(manifest.digest).read_bytes() == manifest.content


def test_a_manifest_is_taken_though_another_client_pushes_its_blob_at_the_moment(
    registry: RealRegistry,
) -> None:
    emptied: list[bytes] = []

    def written(_: float) -> None:
        link.write_bytes(emptied.pop())

    with open_repository(
        Repository(registry.host, "me/two-minds"), RegistryOptions(), sleep=written
    ) as remote:
        manifest = _image(remote)
        link = registry.layer_link("me/two-minds", bytes_source(b"{}").digest)
        emptied.append(link.read_bytes())
        # What the registry does to the link of a blob that is pushed again, before it writes it.
        link.write_bytes(b"")
        remote.push_manifest(manifest, "v1")
        assert emptied == []
        assert remote.pull_manifest("v1") == manifest


def test_a_blob_of_another_repository_is_mounted(registry: RealRegistry, opener: Opener) -> None:
    source = bytes_source(b"mounted" * 1000)
    with opener(registry.host, "base/python") as base:
        base.push_blob(source)
    with opener(registry.host, "me/other") as remote:
        assert not remote.has_blob(source.digest)
        pushed = remote.push_blob(replace(source, mount_from="base/python"))
        assert (pushed.sent_bytes, pushed.reused_bytes) == (0, source.size)
        assert remote.has_blob(source.digest)


def test_what_cannot_be_mounted_is_sent(registry: RealRegistry, opener: Opener) -> None:
    source = bytes_source(b"nowhere")
    with opener(registry.host, "me/third") as remote:
        assert remote.push_blob(replace(source, mount_from="no/where")).sent_bytes == 7


def test_a_broken_blob_is_refused_by_the_registry_and_is_not_there(
    registry: RealRegistry, opener: Opener, tmp_path: Path
) -> None:
    (tmp_path / "blob").write_bytes(b"changed")
    source = file_source(tmp_path / "blob", digest_of(b"original"))
    with opener(registry.host) as remote:
        with pytest.raises(CoalmineError, match="DIGEST_INVALID"):
            remote.push_blob(source)
        assert not remote.has_blob(source.digest)


def test_a_blob_that_rotted_in_the_registry_is_found(
    registry: RealRegistry, opener: Opener
) -> None:
    source = bytes_source(b"sound" * 1000)
    with opener(registry.host) as remote:
        remote.push_blob(source)
        registry.blob(source.digest).write_bytes(b"rotten" + b"sound" * 1000)
        with pytest.raises(CoalmineError, match="gave other bytes"):
            remote.pull_blob(source.digest, io.BytesIO())


def test_referrers_are_listed_by_a_registry_that_knows_none(
    registry: RealRegistry, opener: Opener
) -> None:
    with opener(registry.host, "me/subject") as remote:
        subject = _image(remote)
        remote.push_manifest(subject, "v1")
        assert list_referrers(remote, subject.digest) == ()
        referrer = _image(remote, subject=subject.digest)
        push_referrers(remote, [referrer], subject.digest)
        push_referrers(remote, [referrer], subject.digest)
        (listed,) = list_referrers(remote, subject.digest)
    assert (listed["digest"], listed["size"]) == (referrer.digest, len(referrer.content))


def _login(folder: Path, host: str, password: str) -> RegistryOptions:
    config = folder / f"{password}.json"
    config.write_text(json.dumps({"auths": {host: {"username": "me", "password": password}}}))
    return RegistryOptions(credential_files=(config,))


def test_basic_authentication(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth: dict[str, object] = {"htpasswd": {"realm": "here", "path": str(tmp_path / "htpasswd")}}
    with running_registry(tmp_path / "registry", auth=auth) as registry:
        with opener(registry.host, options=_login(tmp_path, registry.host, "secret")) as remote:
            assert remote.push_blob(bytes_source(BLOB)).sent_bytes == len(BLOB)
        for options in (RegistryOptions(), _login(tmp_path, registry.host, "wrong")):
            with (
                opener(registry.host, options=options) as remote,
                pytest.raises(InputError, match="answered 401") as caught,
            ):
                remote.push_blob(bytes_source(b"x"))
            assert "docker login" in caught.value.fix


def test_a_private_authority_is_trusted_by_name_only(opener: Opener, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here -addext"
    names = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    http: dict[str, object] = {"tls": {"certificate": str(certificate), "key": str(key)}}
    with running_registry(tmp_path / "registry", http=http) as registry:
        with opener(registry.host, options=RegistryOptions(ca_file=certificate)) as remote:
            assert remote.push_blob(bytes_source(b"x")).sent_bytes == 1
        other = tmp_path / "other.pem"
        names[-1], names[-3] = str(other), str(tmp_path / "other-key.pem")
        subprocess.run([*command.split(), *names], check=True, capture_output=True)
        with (
            opener(registry.host, options=RegistryOptions(ca_file=other)) as remote,
            pytest.raises(CoalmineError, match=r"(?i)certificate verify failed"),
        ):
            remote.push_blob(bytes_source(b"x"))
