from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_registry import bad_registry
from real_registry import RealRegistry, find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.layered import LayeredBuilder
from coalmine.images.sign import cosign_arguments, sign_image
from coalmine.images.simplesigning import SIGNATURE, SIGNATURES_TYPE, read_signed
from coalmine.registry.address import RemoteReference, parse_remote
from coalmine.registry.client import open_repository
from coalmine.registry.options import RegistryOptions
from coalmine.registry.referrers import list_referrers
from coalmine.steps.build import BuildInputs, build
from coalmine.steps.contract import Surroundings

OPTIONS = RegistryOptions()
KMS = "awskms:///alias/release"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
pytestmark = [needs_openssl, pytest.mark.integration]


def _key(folder: Path, name: str, curve: str = "prime256v1") -> Path:
    key = folder / f"{name}.pem"
    _openssl("ecparam", "-genkey", "-name", curve, "-noout", "-out", str(key))
    _openssl("ec", "-in", str(key), "-pubout", "-out", str(key.with_suffix(".pub")))
    return key


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return _key(tmp_path, "key")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    if find_registry() is None:
        pytest.skip("docker-registry cannot be had here")
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def _built(context: Path, host: str, cache: Path) -> RemoteReference:
    built = LayeredBuilder(cache=cache, base="none").build(
        context, f"{host}/{cache.parent.name}/iris"
    )
    return parse_remote(built.reference)


def _signed(image: RemoteReference) -> Any:
    with open_repository(image.repository, OPTIONS) as remote:
        manifest = remote.pull_manifest(f"{image.digest.replace(':', '-')}.sig")
    assert manifest is not None
    return json.loads(manifest.content)


def test_anyone_can_verify_it_with_openssl(
    context: Path, registry: RealRegistry, key: Path, tmp_path: Path
) -> None:
    image = _built(context, registry.host, tmp_path / "cache")
    sign_image(image, str(key), OPTIONS)
    layer = _signed(image)["layers"][0]
    said, signature = tmp_path / "payload", tmp_path / "signature"
    said.write_bytes(registry.blob(layer["digest"]).read_bytes())
    signature.write_bytes(base64.b64decode(layer["annotations"][SIGNATURE]))
    verify = ["dgst", "-sha256", "-verify", str(key.with_suffix(".pub")), "-signature"]
    _openssl(*verify, str(signature), str(said))
    critical = json.loads(said.read_bytes())["critical"]
    assert critical["image"]["docker-manifest-digest"] == image.digest
    said.write_bytes(said.read_bytes().replace(b"iris", b"rose"))
    with pytest.raises(subprocess.CalledProcessError):
        _openssl(*verify, str(signature), str(said))


def test_it_is_a_referrer_of_the_image(
    context: Path, registry: RealRegistry, key: Path, tmp_path: Path
) -> None:
    image = _built(context, registry.host, tmp_path / "cache")
    sign_image(image, str(key), OPTIONS)
    with open_repository(image.repository, OPTIONS) as remote:
        kinds = [item["artifactType"] for item in list_referrers(remote, image.digest)]
    assert SIGNATURES_TYPE in kinds


def test_a_second_time_finds_it_and_a_second_key_adds_to_it(
    context: Path, registry: RealRegistry, key: Path, tmp_path: Path
) -> None:
    image = _built(context, registry.host, tmp_path / "cache")
    sign_image(image, str(key), OPTIONS)
    first = _signed(image)
    sign_image(image, str(key), OPTIONS)
    assert _signed(image) == first
    sign_image(image, str(_key(tmp_path, "other")), OPTIONS)
    assert [*first["layers"]] == _signed(image)["layers"][:1]
    assert len(_signed(image)["layers"]) == 2


def test_what_is_no_signature_is_left_alone() -> None:
    with pytest.raises(InputError, match="lies something else"):
        read_signed(b'{"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar"}]}')
    with pytest.raises(InputError, match="lies something else"):
        read_signed(b"[]")


def test_the_build_step_signs_what_it_pushed(
    context: Path, registry: RealRegistry, key: Path, tmp_path: Path
) -> None:
    contexts = tmp_path / "state" / "contexts"
    contexts.mkdir(parents=True)
    inputs = BuildInputs(
        context=context.rename(contexts / "here").as_uri(),
        repository=f"{registry.host}/me/iris",
        base_image="none",
        sign=str(key),
    )
    outputs = build(inputs, Surroundings(tmp_path / "state"))
    assert _signed(parse_remote(outputs.image))["subject"]["digest"] == outputs.image_digest


@pytest.mark.parametrize("sign", ["none.pem", "awskms://key"])
def test_what_cannot_sign_is_refused_before_anything_is_pushed(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no cosign
    monkeypatch.chdir(tmp_path)
    with bad_registry() as registry:
        inputs = BuildInputs(
            context=context.as_uri(),
            repository=f"{registry.host}/me/iris",
            base_image="none",
            sign=sign,
        )
        with pytest.raises(CoalmineError, match=r"none\.pem cannot be read|cosign is not here"):
            build(inputs, Surroundings(tmp_path / "state"))
        assert not registry.seen


def test_a_folder_is_refused_before_anything_is_built(context: Path, tmp_path: Path) -> None:
    contexts = tmp_path / "state" / "contexts"
    contexts.mkdir(parents=True)
    here = context.rename(contexts / "here").as_uri()
    with pytest.raises(InputError, match=r"^sign: .* is a folder"):
        build(BuildInputs(context=here, sign="key.pem"), Surroundings(tmp_path / "state"))
    assert not (tmp_path / "state" / "images").exists()


@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN PRIVATE KEY-----\nxx\n"])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.pem").write_text(content)
    image = parse_remote(f"localhost/me/iris@sha256:{'0' * 64}")
    with pytest.raises(InputError, match=r"^sign: .* holds no private key on the curve P-256"):
        sign_image(image, str(tmp_path / "key.pem"), OPTIONS)


def test_a_key_of_another_curve_or_no_file_is_refused(tmp_path: Path) -> None:
    image = parse_remote(f"localhost/me/iris@sha256:{'0' * 64}")
    with pytest.raises(InputError, match="no private key on the curve P-256"):
        sign_image(image, str(_key(tmp_path, "large", "secp384r1")), OPTIONS)
    with pytest.raises(InputError, match=r"^sign: .* cannot be read"):
        sign_image(image, str(tmp_path / "none.pem"), OPTIONS)


def test_cosign_is_given_what_only_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = parse_remote(f"ghcr.io/me/iris@sha256:{'0' * 64}")
    name = f"ghcr.io/me/iris@{image.digest}"
    assert cosign_arguments(image, KMS, plain=False) == ["sign", "--yes", "--key", KMS, name]
    assert cosign_arguments(image, "keyless", plain=True) == [
        "sign",
        "--yes",
        "--allow-http-registry",
        name,
    ]
    monkeypatch.setenv("PATH", str(tmp_path))
    own = tmp_path / "cosign.key"
    own.write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    for key in (KMS, "keyless", str(own)):
        with pytest.raises(CoalmineError, match="cosign is not here"):
            sign_image(image, key, OPTIONS)
