from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.blobs import Blobs
from coalmine.images.compression import unpacked
from coalmine.images.epoch import source_date
from coalmine.images.layered import LayeredBuilder
from coalmine.images.plan import Layer
from coalmine.images.platforms import Platform
from coalmine.images.tar import Sink, write_tar

BUILDER = LayeredBuilder(platforms=(Platform("amd64"),))


def _manifest(image: str) -> dict[str, object]:
    folder, _, digest = image.removeprefix("oci-layout://").partition("@sha256:")
    content: dict[str, object] = json.loads((Path(folder) / "blobs/sha256" / digest).read_text())
    return content


def _tags(folder: Path) -> dict[str, str]:
    index = json.loads((folder / "index.json").read_text())
    return {
        image.get("annotations", {}).get("org.opencontainers.image.ref.name", ""): image["digest"]
        for image in index["manifests"]
    }


names = st.text("abcXYZ.-_ é", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."})
Files = dict[tuple[str, str], bytes]


def _write(root: Path, files: Files, order: int, umask: int) -> Path:
    items = list(files.items())
    random.Random(order).shuffle(items)
    before = os.umask(umask)
    try:
        for (folder, name), content in items:
            path = root / "src" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (order, order))
        root.mkdir(exist_ok=True)
        facts = "name: iris\nversion: v1\ncreation_time: 2026-01-02T03:04:05\n"
        (root / "bento.yaml").write_text(facts)
    finally:
        os.umask(before)
    return root


@settings(deadline=None, max_examples=6)
@given(st.dictionaries(st.tuples(names, names), st.binary(max_size=2000), max_size=6))
def test_digest_does_not_depend_on_place_order_umask_or_time(files: Files) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        first = _write(Path(one) / "context", files, 1, 0o022)
        second = _write(Path(two) / "elsewhere", files, 2, 0o077)
        digests = {
            BUILDER.build(context, f"{context}-images").digest for context in (first, second)
        }
    assert len(digests) == 1


def test_the_same_bento_again_writes_nothing(context: Path, tmp_path: Path) -> None:
    first = BUILDER.build(context, str(tmp_path / "images"))
    before = (tmp_path / "images" / "index.json").stat()
    again = BUILDER.build(context, str(tmp_path / "images"))
    assert again.reference == first.reference
    assert (again.written_bytes, again.reused_bytes) == (0, first.written_bytes)
    assert (tmp_path / "images" / "index.json").stat() == before


def test_a_new_version_keeps_the_model_that_did_not_change(
    context: Path, tmp_path: Path, context_writer: Callable[..., Path]
) -> None:
    weights = random.Random(1).randbytes(100_000)
    one = context_writer(tmp_path / "one", weights=weights)
    two = context_writer(tmp_path / "two", weights=weights, code="answer = 43\n")
    BUILDER.build(one, str(tmp_path / "images"))
    built = BUILDER.build(two, str(tmp_path / "images"))
    assert built.reused_bytes > 100_000
    assert built.written_bytes < 10_000


def test_image_runs_as_bentomls_own(context: Path, tmp_path: Path) -> None:
    built = BUILDER.build(context, str(tmp_path / "images"))
    manifest = _manifest(built.reference)
    config_digest = manifest["config"]["digest"]  # type: ignore[index]
    config = json.loads(Blobs(tmp_path / "images/blobs/sha256", tmp_path).read(config_digest))
    assert config["created"] == "2026-01-02T03:04:05Z"
    assert config["config"]["Entrypoint"] == ["/home/bentoml/bento/env/docker/entrypoint.sh"]
    assert config["config"]["User"] == "1034:1034"
    assert set(config["config"]["ExposedPorts"]) == {"3000/tcp", "3001/tcp"}
    assert {"GREETING=hello", "BENTOML_HOME=/home/bentoml/"} <= set(config["config"]["Env"])


def test_layers_hold_what_their_titles_say(context: Path, tmp_path: Path) -> None:
    built = BUILDER.build(context, str(tmp_path / "images"))
    found = {}
    for layer in _manifest(built.reference)["layers"]:  # type: ignore[attr-defined]
        blob = tmp_path / "images/blobs" / layer["digest"].replace(":", "/")
        with (
            blob.open("rb") as file,
            tarfile.open(fileobj=unpacked(file, "zstd"), mode="r|") as archive,
        ):
            found[layer["annotations"]["dev.coalmine.layer"]] = archive.getmembers()
    assert list(found) == ["code", "model iris_model:v1", "bento"]
    described = found["code"] + found["bento"]
    modes = {member.name.rpartition("/")[2]: member.mode for member in described}
    assert (modes["entrypoint.sh"], modes["service.py"], modes["src"]) == (0o755, 0o644, 0o755)
    assert {m.mtime for members in found.values() for m in members} == {0}
    assert {m.uid for m in found["bento"] if m.name != "home"} == {1034}


def test_source_date_epoch_dates_files_and_image(context: Path, tmp_path: Path) -> None:
    builder = LayeredBuilder(epoch=86400, platforms=(Platform("amd64"),))
    built = builder.build(context, str(tmp_path / "images"))
    annotated = _manifest(built.reference)["annotations"]
    assert annotated["org.opencontainers.image.created"] == "1970-01-02T00:00:00Z"  # type: ignore[index]


def test_source_date_epoch_is_a_number() -> None:
    assert source_date("") is None
    assert source_date("12") == 12
    for wrong in ("-1", "1.5", "now", "²", "9" * 12, "9" * 5000):
        with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
            source_date(wrong)


def test_a_tag_moves_and_the_older_image_stays(
    tmp_path: Path, context_writer: Callable[..., Path]
) -> None:
    images = tmp_path / "images"
    old = BUILDER.build(context_writer(tmp_path / "1"), str(images))
    new = BUILDER.build(context_writer(tmp_path / "2", weights=b"other"), str(images))
    assert _tags(images) == {"": old.digest, "v1": new.digest}
    back = BUILDER.build(tmp_path / "1", str(images))
    assert _tags(images) == {"": new.digest, "v1": back.digest}


def test_versions_share_a_layout(tmp_path: Path, context_writer: Callable[..., Path]) -> None:
    images = tmp_path / "images"
    for version in ("v1", "v2"):
        BUILDER.build(context_writer(tmp_path / version, version=version), images.as_posix())
    assert set(_tags(images)) == {"v1", "v2"}


def test_many_at_once_all_become_visible(
    tmp_path: Path, context_writer: Callable[..., Path]
) -> None:
    versions = [f"v{number}" for number in range(6)]
    contexts = [context_writer(tmp_path / version, version=version) for version in versions]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda c: BUILDER.build(c, f"oci-layout://{tmp_path}/images"), contexts))
    assert set(_tags(tmp_path / "images")) == set(versions)


def test_no_bento_no_image(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    with pytest.raises(InputError, match=r"has no bento\.yaml"):
        BUILDER.build(tmp_path / "context", str(tmp_path / "images"))
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("yaml", ["[]", "name: x", "{", "name: x\nversion: y\ncreation_time: z"])
def test_a_damaged_bento_yaml_is_refused(context: Path, tmp_path: Path, yaml: str) -> None:
    (context / "bento.yaml").write_text(yaml)
    with pytest.raises(InputError, match="not what BentoML writes"):
        BUILDER.build(context, str(tmp_path / "images"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "src/../../x"])
def test_a_link_out_of_the_bento_is_refused(context: Path, tmp_path: Path, target: str) -> None:
    (context / "leak").symlink_to(target)
    with pytest.raises(InputError, match="leads out of the bento"):
        BUILDER.build(context, str(tmp_path / "images"))


def test_a_pipe_in_a_bento_is_refused(context: Path, tmp_path: Path) -> None:
    os.mkfifo(context / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        BUILDER.build(context, str(tmp_path / "images"))


@pytest.mark.parametrize(
    "repository",
    ["iris", f"ghcr.io/me/iris@sha256:{'0' * 64}", "docker://x", "oci-layout://x/y", "x"],
)
def test_places_that_are_no_folders_are_refused(context: Path, repository: str) -> None:
    with pytest.raises(InputError):
        BUILDER.build(context, repository)


def test_a_folder_with_other_things_is_left_alone(context: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="something else than images: thesis"):
        BUILDER.build(context, str(tmp_path / "mine"))
    assert [item.name for item in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_context_that_changes_meanwhile_is_noticed(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def change(layer: Layer, folder: Path, out: Sink, **rest: int) -> None:
        calls.append(layer)
        (context / "models/iris_model/v1/model.bin").write_bytes(b"%07d" % len(calls))
        write_tar(layer, folder, out, **rest)

    monkeypatch.setattr("coalmine.images.own_layers.write_tar", change)
    with pytest.raises(CoalmineError, match="changed while it was read"):
        BUILDER.build(context, str(tmp_path / "images"))
    assert not (tmp_path / "images" / "index.json").exists()


def test_a_damaged_index_is_not_overwritten(context: Path, tmp_path: Path) -> None:
    BUILDER.build(context, str(tmp_path / "images"))
    (tmp_path / "images" / "index.json").write_text("{")
    with pytest.raises(InputError, match="no index of images"):
        BUILDER.build(context, str(tmp_path / "images"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.call(command, stderr=subprocess.DEVNULL):
        pytest.skip("a small disk can be mounted only by root")
    return disk


def test_a_full_disk_leaves_no_half_image(
    context: Path, small_disk: Path, context_writer: Callable[..., Path], tmp_path: Path
) -> None:
    try:
        first = BUILDER.build(context, str(small_disk / "images"))
        large = random.Random(1).randbytes(2_000_000)
        big = context_writer(tmp_path / "big", version="v2", weights=large)
        with pytest.raises(CoalmineError, match="No space left on device") as caught:
            BUILDER.build(big, str(small_disk / "images"))
        assert caught.value.exit_code == 1
        assert _tags(small_disk / "images") == {"v1": first.digest}
        assert list((small_disk / "images" / ".coalmine" / "tmp").iterdir()) == []
        (big / "models/iris_model/v2/model.bin").write_bytes(b"small")
        BUILDER.build(big, str(small_disk / "images"))
        assert set(_tags(small_disk / "images")) == {"v1", "v2"}
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)


@pytest.mark.parametrize("at", range(1, 7))
def test_no_space_at_any_write_leaves_no_half_image(
    context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    synced = []

    def full(number: int) -> None:
        synced.append(number)
        if len(synced) == at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CoalmineError, match="No space left on device"):
        BUILDER.build(context, str(tmp_path / "images"))
    assert not (tmp_path / "images" / "index.json").exists()
    monkeypatch.undo()
    built = BUILDER.build(context, str(tmp_path / "images"))
    assert _tags(tmp_path / "images") == {"v1": built.digest}


_KILLED = """
import sys, time
from pathlib import Path
from coalmine.images import layered, own_layers
real = own_layers.write_tar
calls = []
class Stalling:
    def __init__(self, out): self.out = out
    def write(self, content):
        self.out.write(content[:1000])
        print("writing", flush=True)
        time.sleep(60)
def stall(layer, context, out, **rest):
    calls.append(layer)
    real(layer, context, Stalling(out) if len(calls) == int(sys.argv[3]) else out, **rest)
own_layers.write_tar = stall
layered.LayeredBuilder().build(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("call", [2, 4])
def test_a_killed_build_leaves_no_half_image_and_no_lock(
    context: Path, tmp_path: Path, call: int
) -> None:
    images = tmp_path / "images"
    command = [sys.executable, "-c", _KILLED, str(context), str(images), str(call)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as build:
        assert build.stdout is not None
        assert build.stdout.readline() == b"writing\n"
        build.send_signal(signal.SIGKILL)
    assert not (images / "index.json").exists()
    assert list((images / ".coalmine" / "tmp").iterdir())
    began = time.monotonic()
    built = BUILDER.build(context, str(images))
    assert time.monotonic() - began < 30
    assert list((images / ".coalmine" / "tmp").iterdir()) == []
    fresh = BUILDER.build(context, str(tmp_path / "fresh"))
    assert built.digest == fresh.digest


@pytest.mark.integration
def test_skopeo_reads_the_image(context: Path, tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed")
    built = BUILDER.build(context, str(tmp_path / "images"))
    shown = subprocess.run(
        [skopeo, "inspect", f"oci:{tmp_path}/images:v1"], capture_output=True, check=True
    )
    facts = json.loads(shown.stdout)
    assert facts["Digest"] == built.digest
    assert len(facts["Layers"]) == 3
    subprocess.run(
        [skopeo, "copy", f"oci:{tmp_path}/images:v1", f"dir:{tmp_path}/copy", "--insecure-policy"],
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "copy" / "manifest.json").is_file()
