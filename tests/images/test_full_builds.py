from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Protocol

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.buildkit import BuildkitBuilder, buildctl_arguments
from coalmine.images.dockerfile import DOCKERFILE
from coalmine.images.kaniko import KanikoBuilder, executor_arguments
from coalmine.images.platforms import Platform
from coalmine.images.protocol import Builder
from coalmine.registry.address import parse_remote
from coalmine.registry.options import RegistryOptions
from coalmine.steps.build import BuildInputs, build
from coalmine.steps.contract import Surroundings
from coalmine.stores.context import keep_context
from coalmine.stores.reference import publish_context

TARGET = parse_remote("ghcr.io/me/iris")
DIGEST = "sha256:" + "5" * 64
PUSHED = "type=image,name=ghcr.io/me/iris:v1,push=true,oci-mediatypes=true"
BOTH = (Platform("amd64"), Platform("arm64"))


class Put(Protocol):
    def __call__(self, name: str, script: str) -> Path: ...


@pytest.fixture
def context(context: Path) -> Path:
    (context / "env/docker/Dockerfile").write_text("FROM scratch\nCOPY . /home/bentoml/bento/\n")
    return context


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a program on PATH; BuildKit and kaniko cannot be had here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def write(name: str, script: str) -> Path:
        program = programs / name
        program.write_text(f"#!{sys.executable}\nimport json, os, sys\n{script}")
        program.chmod(0o755)
        return programs / "said"

    return write


@pytest.fixture(params=["buildkit", "kaniko"])
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Builder:
    if request.param == "buildkit":
        return BuildkitBuilder()
    return KanikoBuilder(tmp_path / "scratch", python=Path("/kaniko/python"))


def test_buildctl_is_told_all_at_once() -> None:
    words = buildctl_arguments(
        Path("/c"), TARGET, "v1", Path("/m.json"), platforms=BOTH, epoch=7, plain=True
    )
    assert words == [
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        "--local",
        "context=/c",
        "--local",
        "dockerfile=/c/env/docker",
        "--opt",
        "filename=Dockerfile",
        "--opt",
        "platform=linux/amd64,linux/arm64",
        "--opt",
        "build-arg:SOURCE_DATE_EPOCH=7",
        "--output",
        f"{PUSHED},registry.insecure=true,rewrite-timestamp=true",
        "--metadata-file",
        "/m.json",
    ]


def test_buildctl_is_told_no_more_than_it_must() -> None:
    words = buildctl_arguments(Path("/c"), TARGET, "v1", Path("/m.json"))
    assert words.count("--opt") == 1
    assert words[words.index("--output") + 1] == PUSHED


def test_kanikos_arguments() -> None:
    packed, digest = "tar:///s/context.tar.gz", Path("/s/digest")
    plain = executor_arguments(packed, DOCKERFILE, TARGET, "v1", digest, registry=RegistryOptions())
    assert plain == [
        "--context=tar:///s/context.tar.gz",
        "--dockerfile=env/docker/Dockerfile",
        "--destination=ghcr.io/me/iris:v1",
        "--digest-file=/s/digest",
        "--ignore-path=/s",
    ]
    more = executor_arguments(
        packed,
        DOCKERFILE,
        TARGET,
        "v1",
        digest,
        registry=RegistryOptions(plain_http=frozenset({"ghcr.io"}), ca_file=Path("/ca.pem")),
        platform=BOTH[1],
        reproducible=True,
    )
    assert more[len(plain) :] == [
        "--custom-platform=linux/arm64",
        "--reproducible",
        "--insecure",
        "--insecure-registry=ghcr.io",
        "--registry-certificate=ghcr.io=/ca.pem",
    ]


def test_a_daemon_that_is_named_is_asked(
    context: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", "tcp://buildkitd:1234")
    put("buildctl-daemonless.sh", "sys.exit('this one was not meant')")
    put(
        "buildctl",
        "assert sys.argv[1] == 'build'\n"
        "with open(sys.argv[sys.argv.index('--metadata-file') + 1], 'w') as file:\n"
        f"    json.dump({{'containerimage.digest': {DIGEST!r}}}, file)\n",
    )
    built = BuildkitBuilder().build(context, "ghcr.io/me/iris:mine")
    assert built.reference == f"ghcr.io/me/iris@{DIGEST}"


def test_kaniko_is_given_the_bento_as_a_tar_and_leaves_none_behind(
    context: Path, put: Put, tmp_path: Path
) -> None:
    said = put(
        "executor",
        "from pathlib import Path\n"
        "given = dict(word[2:].split('=', 1) for word in sys.argv[1:])\n"
        "packed = Path(given['context'].removeprefix('tar://'))\n"
        f"Path({str(tmp_path)!r}, 'bin', 'said').write_bytes(packed.read_bytes())\n"
        f"Path(given['digest-file']).write_text({DIGEST!r})\n",
    )
    builder = KanikoBuilder(tmp_path / "scratch", python=Path("/kaniko/python"))
    assert builder.build(context, "ghcr.io/me/iris").digest == DIGEST
    with tarfile.open(said, "r:gz") as archive:
        assert "./env/docker/Dockerfile" in archive.getnames()
    assert list((tmp_path / "scratch").iterdir()) == []


FETCHES = """
import gzip, io, tarfile
from pathlib import Path
import obstore
from obstore.store import S3Store
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
bucket, _, key = given["context"].removeprefix("s3://").partition("/")
assert os.environ["S3_FORCE_PATH_STYLE"] == "true"
client = S3Store(
    bucket, endpoint=os.environ["S3_ENDPOINT"], region=os.environ["AWS_REGION"],
    access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"], client_options={"allow_http": True},
)
packed = bytes(obstore.get(client, key).bytes())
with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
    assert "env/docker/Dockerfile" in archive.getnames()
assert Path(given["dockerfile"]).read_text().startswith("FROM scratch")
# The real one leaves the archive in the context that COPY sees, unless it is told to leave it out.
ignored = Path(given["dockerfile"] + ".dockerignore").read_text().split()
assert ignored == ["*.log", "context.tar.gz"], ignored
"""
SWAPS = "obstore.put(client, key, gzip.compress(b'another'))\n"
ENDS = f"Path(given['digest-file']).write_text({DIGEST!r})\n"


@pytest.mark.integration
def test_kaniko_fetches_a_context_from_its_bucket_itself(
    context: Path, put: Put, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kaniko is no package; what stands in for it reads what it reads, by S3's own words."""
    (context / ".dockerignore").write_text("*.log")
    kept, _ = keep_context(tmp_path / "kept", lambda into: shutil.copytree(context, into))
    reference, _ = publish_context(kept, s3)
    monkeypatch.setattr(sys, "base_prefix", "/kaniko/python")
    put("executor", FETCHES + ENDS)
    inputs = BuildInputs(context=reference, builder="kaniko", repository="ghcr.io/me/iris")
    built = build(inputs, Surroundings(tmp_path / "state"))
    assert built.image == f"ghcr.io/me/iris@{DIGEST}"
    put("executor", FETCHES + SWAPS + ENDS)
    with pytest.raises(CoalmineError, match="was changed while it was built") as caught:
        build(inputs, Surroundings(tmp_path / "state"))
    assert caught.value.exit_code == 1
    with pytest.raises(InputError, match="the archive is refused"):
        build(inputs, Surroundings(tmp_path / "state"))


def test_last_words_are_told(builder: Builder, context: Path, put: Put) -> None:
    for name in ("buildctl", "executor"):
        put(name, "sys.exit('no such base image')")
    with pytest.raises(CoalmineError, match="failed: no such base image") as caught:
        builder.build(context, "ghcr.io/me/iris")
    assert caught.value.exit_code == 1


def test_of_a_panic_the_reason_is_told_and_not_the_trace(
    builder: Builder, context: Path, put: Put
) -> None:
    trace = "\\n".join(f"main.f{number}()" for number in range(20))
    for name in ("buildctl", "executor"):
        put(name, f"sys.exit('at step 3\\npanic: no room\\n\\ngoroutine 1:\\n{trace}')")
    with pytest.raises(CoalmineError, match=r"failed: at step 3; panic: no room$"):
        builder.build(context, "ghcr.io/me/iris")


def test_of_an_error_with_a_page_of_usage_the_error_is_told(
    builder: Builder, context: Path, put: Put
) -> None:
    usage = "\\n".join(f"  --flag-{number}" for number in range(20))
    for name in ("buildctl", "executor"):
        put(name, f"sys.exit('Error: no such bucket\\nUsage:\\n{usage}')")
    with pytest.raises(CoalmineError, match=r"failed: Error: no such bucket$"):
        builder.build(context, "ghcr.io/me/iris")


def test_a_builder_that_names_no_digest_has_failed(
    builder: Builder, context: Path, put: Put
) -> None:
    for name in ("buildctl", "executor"):
        put(name, "")
    with pytest.raises(CoalmineError, match="named no digest"):
        builder.build(context, "ghcr.io/me/iris")


def test_without_the_program_it_is_said_where_it_is(
    builder: Builder, context: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CoalmineError, match="is not here") as caught:
        builder.build(context, "ghcr.io/me/iris")
    assert "use an image" in caught.value.fix


def test_a_folder_is_refused(builder: Builder, context: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^repository: .* is a folder"):
        builder.build(context, str(tmp_path / "images"))


def test_a_bento_without_a_dockerfile_or_with_secrets_is_refused(
    builder: Builder, context: Path
) -> None:
    (context / ".env").write_text("TOKEN=x")
    with pytest.raises(InputError, match=r"secrets: \.env"):
        builder.build(context, "ghcr.io/me/iris")
    (context / ".env").unlink()
    (context / "env/docker/Dockerfile").unlink()
    with pytest.raises(InputError, match="has no env/docker/Dockerfile"):
        builder.build(context, "ghcr.io/me/iris")


def test_kaniko_is_kept_from_the_python_that_runs_us(context: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^builder: kaniko lays the base image over") as caught:
        KanikoBuilder(tmp_path).build(context, "ghcr.io/me/iris")
    assert "/kaniko" in caught.value.fix


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"builder": "kaniko", "platforms": "linux/amd64,linux/arm64"}, "platforms"),
        ({"builder": "kaniko", "kind": "model"}, "kind"),
        ({"builder": "buildkit", "kind": "model"}, "kind"),
        ({"builder": "buildah", "kind": "model"}, "kind"),
        ({"builder": "buildkit", "platforms": "windows/amd64"}, "platforms"),
    ],
)
def test_what_a_builder_cannot_do_is_wrong_input(
    context: Path, tmp_path: Path, inputs: dict[str, str], field: str
) -> None:
    contexts = tmp_path / "state" / "contexts"
    contexts.mkdir(parents=True)
    here = context.rename(contexts / "here")
    with pytest.raises(InputError, match=f"^{field}: "):
        build(BuildInputs(context=here.as_uri(), **inputs), Surroundings(tmp_path / "state"))
