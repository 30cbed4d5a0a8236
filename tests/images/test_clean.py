"""What nobody needs is taken from image layouts, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_registry import bad_registry
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.cli import cli
from coalmine.images.clean import InUseError, Policy, clean_layout, kept_images
from coalmine.images.layered import LayeredBuilder
from coalmine.images.layout import OciLayout
from coalmine.images.protocol import BuiltImage
from coalmine.images.unpack import unpack
from coalmine.serving.protocol import Phase, ReleaseRecord
from coalmine.serving.records import Records

FUTURE = 4_000_000_000.0
BUILDER = LayeredBuilder()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "state" / "images" / "iris"


@pytest.fixture
def three(
    tmp_path: Path, images: Path, context_writer: Callable[..., Path]
) -> dict[str, BuiltImage]:
    """Three versions in one layout, with models of their own."""
    return {
        version: BUILDER.build(
            context_writer(tmp_path / version, version=version, weights=version.encode() * 1000),
            str(images),
        )
        for version in ("v1", "v2", "v3")
    }


def _works(image: BuiltImage, tmp_path: Path) -> bool:
    try:
        return (unpack(image.reference, tmp_path / "out" / image.digest) / "bento.yaml").is_file()
    except InputError:
        return False


def _blobs(images: Path) -> set[str]:
    return {blob.name for blob in (images / "blobs" / "sha256").iterdir()}


def test_what_the_index_lists_stays_whatever_its_age(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    before = _blobs(images)
    cleaned = clean_layout(images, Policy(FUTURE))
    assert (cleaned.images, cleaned.blobs, cleaned.size) == ((), 0, 0)
    assert _blobs(images) == before
    assert all(_works(image, tmp_path) for image in three.values())


def test_the_newest_stay_and_what_is_needed(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    needed = frozenset({three["v1"].digest})
    cleaned = clean_layout(images, Policy(FUTURE, keep=1, needed=needed))
    assert cleaned.images == (three["v2"].digest,)
    assert cleaned.blobs > 0
    assert cleaned.size > 2000
    works = {version: _works(image, tmp_path) for version, image in three.items()}
    assert works == {"v1": True, "v2": False, "v3": True}


def test_what_was_used_of_late_stays_though_its_image_is_gone(
    three: dict[str, BuiltImage], images: Path
) -> None:
    before = _blobs(images)
    assert clean_layout(images, Policy(0.0, keep=1)).blobs == 0
    assert _blobs(images) == before
    assert len(json.loads((images / "index.json").read_text())["manifests"]) == 1
    assert three["v3"].digest in (images / "index.json").read_text()


def test_a_dry_run_says_the_same_and_removes_nothing(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    would = clean_layout(images, Policy(FUTURE, keep=1), dry_run=True)
    assert all(_works(image, tmp_path) for image in three.values())
    assert clean_layout(images, Policy(FUTURE, keep=1)) == would


def test_what_was_removed_is_built_again(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    clean_layout(images, Policy(FUTURE, keep=1))
    assert BUILDER.build(tmp_path / "v1", str(images)).digest == three["v1"].digest
    assert _works(three["v1"], tmp_path)


def test_what_is_kept_for_a_registry_goes_with_its_age(context: Path, tmp_path: Path) -> None:
    builder = LayeredBuilder(cache=tmp_path / "cache", base="none")
    with bad_registry() as registry:
        builder.build(context, f"{registry.host}/me/iris")
        assert clean_layout(tmp_path / "cache", Policy(0.0)).blobs == 0
        assert clean_layout(tmp_path / "cache", Policy(FUTURE)).blobs > 0
        assert _blobs(tmp_path / "cache") == set()
        assert list((tmp_path / "cache/.coalmine/layers").rglob("*.json")) == []
        assert builder.build(context, f"{registry.host}/me/iris").sent_bytes == 0


def test_a_layer_that_is_found_again_counts_as_used(context: Path, tmp_path: Path) -> None:
    builder = LayeredBuilder(cache=tmp_path / "cache", base="none")
    notes = tmp_path / "cache/.coalmine/layers"
    with bad_registry() as registry:
        builder.build(context, f"{registry.host}/me/iris")
        for path in [*notes.rglob("*.json"), *(tmp_path / "cache/blobs/sha256").iterdir()]:
            os.utime(path, (1, 1))
        builder.build(context, f"{registry.host}/me/iris")
        clean_layout(tmp_path / "cache", Policy(1000.0))
        kept = [json.loads(note.read_text())["digest"] for note in notes.glob("*.json")]
        assert kept
        assert {digest.removeprefix("sha256:") for digest in kept} <= _blobs(tmp_path / "cache")


def test_nothing_is_removed_while_an_image_is_on_its_way(context: Path, tmp_path: Path) -> None:
    builder = LayeredBuilder(cache=tmp_path / "cache", base="none")
    refused = []
    with bad_registry() as registry:

        def misbehave(_: object) -> bool:
            try:
                clean_layout(tmp_path / "cache", Policy(FUTURE))
            except InUseError as error:
                refused.append(error)
            return False

        registry.misbehave = misbehave
        builder.build(context, f"{registry.host}/me/iris")
        assert len(refused) == len(registry.seen) > 0
    clean_layout(tmp_path / "cache", Policy(FUTURE))


_KILLED = """
import sys
from pathlib import Path
from coalmine.images.clean import Policy, clean_layout
real, left = Path.unlink, int(sys.argv[2])
def unlink(path, *more, **rest):
    global left
    left -= 1
    if left < 0:
        print("stalled", flush=True)
        sys.stdin.read()
    real(path, *more, **rest)
Path.unlink = unlink
clean_layout(Path(sys.argv[1]), Policy(4e9, keep=1))
"""


@pytest.mark.parametrize("unlinked", [0, 4])
def test_a_killed_clean_up_leaves_nothing_broken(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path, unlinked: int
) -> None:
    command = [sys.executable, "-c", _KILLED, str(images), str(unlinked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stalled\n"
        process.send_signal(signal.SIGKILL)
    assert _works(three["v3"], tmp_path)
    assert BUILDER.build(tmp_path / "v2", str(images)).digest == three["v2"].digest
    assert _works(three["v2"], tmp_path)
    clean_layout(images, Policy(FUTURE, keep=1))
    assert _works(three["v2"], tmp_path), "it was built last"
    assert len(json.loads((images / "index.json").read_text())["manifests"]) == 1


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), max_size=8, unique=True), st.integers(1, 4), st.data())
def test_as_many_stay_as_are_to_and_those_that_are_needed(
    numbers: list[int], keep: int, data: st.DataObject
) -> None:
    listed = [{"digest": f"sha256:{number}"} for number in numbers]
    needed = frozenset(data.draw(st.sets(st.sampled_from([f"sha256:{n}" for n in range(10)]))))
    kept = kept_images(listed, Policy(0.0, keep, needed))
    assert kept == [item for item in listed if item in kept], "in their order"
    assert kept[-keep:] == listed[-keep:]
    assert all((item in kept) is (item["digest"] in needed) for item in listed[:-keep])
    assert kept_images(listed, Policy(0.0, None, needed)) == listed


def _gc(state: Path, *more: str) -> dict[str, object]:
    done = CliRunner().invoke(cli, ["gc", "--state", str(state), "-o", "json", *more])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_the_command_keeps_what_a_service_runs_or_tries(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    for blob in (images / "blobs" / "sha256").iterdir():
        os.utime(blob, (1, 1))
    for note in (images / ".coalmine" / "layers").rglob("*.json"):
        os.utime(note, (1, 1))
    unpack(three["v1"].reference, state / "revisions" / "iris-0001" / "image")
    (removed,) = _entries(_gc(state, "--keep", "1", "--dry-run"))
    assert removed["images"] == [three["v2"].digest]
    record = ReleaseRecord("iris", "r1", Phase.CANARY, "iris-2", three["v2"].reference, "v2")
    Records(state / "services").write(record)
    assert _entries(_gc(state, "--keep", "1")) == []
    assert all(_works(image, tmp_path) for image in three.values())


def _entries(said: dict[str, object]) -> list[dict[str, object]]:
    found = said["images"]
    assert isinstance(found, list)
    return found


def test_the_command_leaves_alone_what_is_in_use(
    three: dict[str, BuiltImage], images: Path, tmp_path: Path
) -> None:
    assert len(three) == 3
    with OciLayout(images).in_use():
        said = _gc(tmp_path / "state", "--keep", "1")
    assert (said["images"], said["in_use"]) == ([], [str(images)])


def test_a_release_in_progress_may_be_given_an_old_image_again(
    three: dict[str, BuiltImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = {"name": "iris", "requested_at": "2020-01-01T00:00:00+00:00"}
    monkeypatch.setattr("coalmine.cli.gc.in_progress", lambda _: [begun])
    assert _entries(_gc(tmp_path / "state", "--keep", "1")) == []
    assert all(_works(image, tmp_path) for image in three.values())
