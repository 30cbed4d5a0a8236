from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.stores.context import digest_of_folder
from coalmine.stores.local import LocalStore
from coalmine.stores.select import select_store


@pytest.mark.parametrize("asked", ["", "latest"])
def test_latest_is_what_bentoml_noted(home: Path, asked: str) -> None:
    (home / "bentos" / "iris" / "latest").write_text("v2")
    assert LocalStore(home).resolve("iris", asked) == "v2"


@pytest.mark.parametrize("noted", [None, "gone"])
def test_latest_is_the_newest_by_time_where_the_note_is_missing_or_stale(
    home: Path, noted: str | None
) -> None:
    if noted:
        (home / "bentos" / "iris" / "latest").write_text(noted)
    assert LocalStore(home).resolve("iris", "") == "v10"


def test_unknown_version_lists_what_is_there(home: Path) -> None:
    with pytest.raises(InputError, match="no bento iris:v3") as caught:
        LocalStore(home).resolve("iris", "v3")
    assert "v10, v2" in caught.value.fix


def test_a_version_is_never_guessed_from_its_beginning(home: Path) -> None:
    with pytest.raises(InputError):
        LocalStore(home).resolve("iris", "v1")


def test_unknown_name_lists_what_is_there(home: Path) -> None:
    with pytest.raises(InputError, match="no bento 'rose'") as caught:
        LocalStore(home).resolve("rose", "")
    assert "iris" in caught.value.fix


def test_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        LocalStore(tmp_path).resolve("iris", "")
    assert "empty" in caught.value.fix


@pytest.mark.parametrize("name", ["../iris", "a/b", "", ".", "Iris", "i" * 64, "iris:v1"])
def test_a_name_cannot_lead_elsewhere(home: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name of a bento"):
        LocalStore(home).resolve(name, "")


def test_fetch_takes_bento_and_its_own_models(home: Path, tmp_path: Path) -> None:
    LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    found = sorted(p.relative_to(tmp_path / "context") for p in (tmp_path / "context").rglob("*"))
    assert Path("models/iris_model/v2/model.bin") in found
    assert Path("models/iris_model/v1") not in found
    assert (tmp_path / "context" / "models" / "iris_model" / "latest").read_text() == "v2"


def test_fetch_leaves_the_store_as_it_is(home: Path, tmp_path: Path) -> None:
    before = digest_of_folder(home)
    LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    assert digest_of_folder(home) == before


def test_models_that_an_export_left_in_the_bento_are_not_taken(home: Path, tmp_path: Path) -> None:
    (home / "bentos" / "iris" / "v10" / "models" / "junk").mkdir(parents=True)
    LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    assert not (tmp_path / "context" / "models" / "junk").exists()


def test_a_model_from_elsewhere_is_left_to_the_service(
    tmp_path: Path, bento_writer: Callable[..., Path]
) -> None:
    bento = bento_writer(tmp_path / "home", models=())
    text = (bento / "bento.yaml").read_text()
    text += "models: [{tag: 'bert:main', registry: huggingface}]\n"
    (bento / "bento.yaml").write_text(text)
    LocalStore(tmp_path / "home").find("iris", "v1").fetch(tmp_path / "context")
    assert not (tmp_path / "context" / "models").exists()


def _no_yaml(bento: Path) -> None:
    (bento / "bento.yaml").unlink()


def _half_yaml(bento: Path) -> None:
    (bento / "bento.yaml").write_text("name: [iris\nversion")


def _list_yaml(bento: Path) -> None:
    (bento / "bento.yaml").write_text("- iris\n")


def _binary_yaml(bento: Path) -> None:
    (bento / "bento.yaml").write_bytes(b"\xff\xfe\x00")


def _other_name(bento: Path) -> None:
    text = (bento / "bento.yaml").read_text().replace("version: v10", "version: v11")
    (bento / "bento.yaml").write_text(text)


def _no_source(bento: Path) -> None:
    shutil.rmtree(bento / "src")


def _no_model(bento: Path) -> None:
    shutil.rmtree(bento.parents[2] / "models" / "iris_model" / "v2")


def _escaping_model(bento: Path) -> None:
    text = (bento / "bento.yaml").read_text().replace("iris_model:v2", "..:..")
    (bento / "bento.yaml").write_text(text)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_no_yaml, "no bento.yaml"),
        (_half_yaml, "not what BentoML writes"),
        (_list_yaml, "not what BentoML writes"),
        (_binary_yaml, "not what BentoML writes"),
        (_other_name, "says it is iris:v11"),
        (_no_source, "no src folder"),
        (_no_model, "its model iris_model:v2 is not in"),
        (_escaping_model, "not what BentoML writes"),
    ],
)
def test_a_damaged_bento_is_refused_and_nothing_is_written(
    home: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(home / "bentos" / "iris" / "v10")
    with pytest.raises(InputError, match=said) as caught:
        LocalStore(home).find("iris", "v10").fetch(tmp_path / "context")
    assert "damaged" in caught.value.message
    assert not (tmp_path / "context").exists()


def test_a_place_that_cannot_be_written_to_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CoalmineError, match="could not be copied") as caught:
        LocalStore(home).find("iris", "v10").fetch(tmp_path / "file" / "context")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("reference", ["", "local"])
def test_our_own_store_is_meant_by_default(home: Path, reference: str) -> None:
    assert select_store(reference, own=home).resolve("iris", "v2") == "v2"


def test_a_store_can_be_named_by_path_or_url(home: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "my home"
    home.rename(spaced)
    for reference in (str(spaced), spaced.as_uri()):
        assert select_store(reference, own=tmp_path).resolve("iris", "v2") == "v2"


@pytest.mark.parametrize(
    "reference", ["s3://", "gs://bucket", "https://x/y", "file://host/x", "bucket"]
)
def test_other_stores_are_refused_with_what_there_is(tmp_path: Path, reference: str) -> None:
    with pytest.raises(InputError, match="store") as caught:
        select_store(reference, own=tmp_path)
    assert "s3://bucket/prefix" in caught.value.fix


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        select_store(str(tmp_path / "none"), own=tmp_path)


def test_a_source_is_the_same_until_a_file_is_another(home: Path) -> None:
    store = LocalStore(home)
    first = store.find("iris", "v10").source
    assert store.find("iris", "v10").source == first
    weights = home / "models" / "iris_model" / "v2" / "model.bin"
    before = weights.stat()
    weights.write_bytes(b"w8ights")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.stat().st_size == before.st_size
    assert store.find("iris", "v10").source != first


def test_another_version_is_another_source(home: Path) -> None:
    store = LocalStore(home)
    assert store.find("iris", "v10").source != store.find("iris", "v2").source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 1000, "nested too deeply"),
        ("#" * 2_000_000, "more than 1048576 bytes"),
        ("name: iris\nversion: v10\nmodels: &m [{tag: 'a:b'}]\nservices:\n"
         "  - &s {models: *m}\n" + "  - *s\n" * 5000, "more than 1000 models"),
    ],
)  # fmt: skip
def test_a_manifest_that_would_take_all_memory_is_refused(home: Path, text: str, said: str) -> None:
    (home / "bentos" / "iris" / "v10" / "bento.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        LocalStore(home).find("iris", "v10")
