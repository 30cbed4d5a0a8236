"""What buildah keeps of builds is cleaned like the rest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.cli import cli
from coalmine.images.buildah import BuildahBuilder
from coalmine.images.buildah_store import BuildahStore, outdated

V1, V2 = "localhost/coalmine/iris:v1", "localhost/coalmine/iris:v2"
can_run = pytest.mark.skipif(
    shutil.which("buildah") is None or os.getuid() != 0, reason="needs buildah and root"
)


@pytest.fixture
def store(tmp_path: Path, context_writer: Callable[..., Path]) -> BuildahStore:
    """A store of a state folder, with iris:v1 that was built long ago, and iris:v2."""
    storage = tmp_path / "state" / "images" / ".buildah"
    builder = BuildahBuilder(storage, epoch=0)
    for version in ("v1", "v2"):
        context = context_writer(tmp_path / version, version=version)
        (context / "env/docker/Dockerfile").write_text(
            "FROM scratch\nCOPY src /src\nCOPY bento.yaml /\n"
        )
        builder.build(context, str(tmp_path / "out"))
    store = BuildahStore(storage)
    _outdate(store, V1)
    return store


def _gc(store: BuildahStore, *more: str) -> dict[str, object]:
    state = store.folder.parent.parent
    done = CliRunner().invoke(cli, ["gc", "--state", str(state), "-o", "json", *more])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def _images(store: BuildahStore) -> list[str]:
    images = json.loads(store.run("images", "--all", "--json")) or []
    return sorted(name for image in images for name in image["names"] or ["layer"])


def _outdate(store: BuildahStore, *names: str) -> None:
    for note in (store.folder / ".coalmine" / "built").iterdir():
        if note.read_text() in names:
            os.utime(note, (1, 1))


@can_run
@pytest.mark.integration
def test_what_nobody_has_built_for_a_while_goes_when_nobody_builds(
    store: BuildahStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _images(store)
    assert _gc(store, "--dry-run")["full_builds"] == [V1]
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert _gc(store)["full_builds_left"] == "buildah is not here"
    with store.building(V1):
        said = _gc(store)
    assert said["full_builds"] == []
    assert "a build or a push uses" in str(said["full_builds_left"])
    assert _images(store) == before
    _outdate(store, V1)
    assert _gc(store)["full_builds"] == [V1]
    assert _images(store) == ["layer", V2]
    store.run("from", "--name", "left-by-a-killed-build", V2)
    _outdate(store, V2)
    assert _gc(store)["full_builds"] == [V2]
    assert (_images(store), json.loads(store.run("containers", "--json"))) == ([], None)
    assert _gc(store)["full_builds"] == []


def test_where_nothing_was_built_buildah_is_not_asked_for(tmp_path: Path) -> None:
    store = BuildahStore(tmp_path / "state" / "images" / ".buildah")
    said = _gc(store)
    assert (said["full_builds"], said["full_builds_left"]) == ([], "")
    assert not store.folder.exists()


@settings(max_examples=20)
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 10)), st.floats(0, 10))
def test_what_was_built_later_stays(built: dict[str, float], before: float) -> None:
    old = outdated(built, before)
    assert {name for name in built if name not in old} == {n for n in built if built[n] >= before}
