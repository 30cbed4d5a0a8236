"""Contexts by reference, on this machine, in a bucket, in a registry."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_registry import find_registry, running_registry

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.context import digest_of_folder, keep_bento
from coalmine.stores.local import LocalStore
from coalmine.stores.objects import open_objects
from coalmine.stores.reference import open_context, publish_context


@pytest.fixture
def context(home: Path, tmp_path: Path) -> Path:
    return keep_bento(tmp_path / "contexts", LocalStore(home), "iris", "v10")[0]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_registry() is None:
        pytest.skip("docker-registry cannot be had here")
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield f"oci://{running.host}/me/contexts"


@pytest.fixture(params=["s3", "registry"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.mark.integration
def test_a_context_comes_back_on_another_machine(context: Path, where: str, tmp_path: Path) -> None:
    reference, sent = publish_context(context, where)
    assert sent > 0
    assert publish_context(context, where) == (reference, 0)
    found = open_context(reference, tmp_path / "elsewhere")
    assert found.name == context.name == digest_of_folder(found)
    assert open_context(reference, tmp_path / "elsewhere") == found


@pytest.mark.integration
def test_a_context_that_was_changed_there_is_fetched_anew(
    context: Path, where: str, tmp_path: Path
) -> None:
    reference, _ = publish_context(context, where)
    found = open_context(reference, tmp_path / "elsewhere")
    (found / "src" / "service.py").write_text("answer = 43\n")
    again = open_context(reference, tmp_path / "elsewhere")
    assert again == found
    assert (again / "src" / "service.py").read_text() == "answer = 42\n"


@pytest.mark.integration
def test_a_context_that_is_gone_is_named(context: Path, where: str, tmp_path: Path) -> None:
    reference, _ = publish_context(context, where)
    digest = re.findall("[0-9a-f]{64}", reference)[-1]
    other = reference.replace(digest, "0" * 64)
    with pytest.raises(InputError, match="there is no build context"):
        open_context(other, tmp_path / "elsewhere")
    assert not [item for item in (tmp_path / "elsewhere").iterdir() if item.name[0] != "."]


@pytest.mark.integration
def test_another_content_under_a_name_is_refused(context: Path, s3: str, tmp_path: Path) -> None:
    objects = open_objects(s3, field="contexts")
    reference, _ = publish_context(context, s3)
    moved = f"{'0' * 64}.tar.gz"
    stored = objects.find(reference.rpartition("/")[2])
    assert stored
    objects.write(moved, iter([b"".join(objects.read(stored))]), {})
    for _ in range(2):
        with pytest.raises(CoalmineError, match="holds another content"):
            open_context(f"{s3}/{moved}", tmp_path / "elsewhere")
        # Nothing of it is remembered, or the reference would stay wrong once it is right there.
        assert not list((tmp_path / "elsewhere" / ".coalmine" / "sources").iterdir())


def test_a_context_stays_here_unless_told(context: Path, tmp_path: Path) -> None:
    assert publish_context(context, "") == (context.as_uri(), 0)
    assert open_context(context.as_uri(), tmp_path / "elsewhere") == context


def test_a_context_here_is_verified(context: Path, tmp_path: Path) -> None:
    (context / "src" / "service.py").write_text("answer = 43\n")
    with pytest.raises(InputError, match="was changed after it was retrieved"):
        open_context(context.as_uri(), tmp_path)


def test_a_context_that_was_changed_is_neither_given_again_nor_sent(
    home: Path, context: Path, tmp_path: Path
) -> None:
    (context / "src" / "service.py").write_text("answer = 43\n")
    again, here = keep_bento(tmp_path / "contexts", LocalStore(home), "iris", "v10")
    assert (again, here) == (context, False)
    assert open_context(again.as_uri(), tmp_path) == context


def test_a_folder_of_ones_own_is_taken_as_it_is(context: Path, tmp_path: Path) -> None:
    own = shutil.copytree(context, tmp_path / "my own")
    assert open_context(own.as_uri(), tmp_path) == own


@pytest.mark.parametrize(
    "reference",
    ["", "/x", "file://host/x", "file:x", "s3://bucket/x", "s3://bucket/x.tar.gz", "oci://h.x/a",
     "oci://h.x/a:b", "https://x/y"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no reference to a build context"):
        open_context(reference, tmp_path)


@pytest.mark.parametrize(
    ("where", "said"),
    [("x", "no place for build contexts"), ("oci://h.x/a:b", "tag or digest"),
     ("s3://", "no place in a bucket"), ("oci://x", "names no repository")],
)  # fmt: skip
def test_what_is_no_place_is_refused(context: Path, where: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        publish_context(context, where)
