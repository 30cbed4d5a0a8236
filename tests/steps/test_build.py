from __future__ import annotations

import logging
from pathlib import Path

import pytest
from bad_registry import bad_registry

from coalmine._base.errors import InputError
from coalmine.images.protocol import BuiltImage
from coalmine.images.unpack import unpack
from coalmine.stack.layout import Layout
from coalmine.steps.build import BuildInputs, _report, build
from coalmine.steps.contract import Surroundings
from coalmine.steps.retrieve import RetrieveInputs, retrieve


@pytest.fixture
def context(surroundings: Surroundings) -> str:
    return retrieve(RetrieveInputs(name="iris"), surroundings).context


def test_the_image_goes_to_the_state_by_default(surroundings: Surroundings, context: str) -> None:
    outputs = build(BuildInputs(context=context), surroundings)
    folder = Layout(surroundings.state).images / "iris"
    assert outputs.image_url == f"oci-layout://{folder}"
    assert outputs.image == f"{outputs.image_url}@{outputs.image_digest}"
    assert (folder / "index.json").is_file()


def test_the_image_runs_what_was_retrieved(
    surroundings: Surroundings, context: str, tmp_path: Path
) -> None:
    outputs = build(BuildInputs(context=context), surroundings)
    bento = unpack(outputs.image, tmp_path / "out")
    assert (bento / "src" / "service.py").read_text() == "answer = 42\n"


def test_the_second_time_it_says_that_it_was_there(
    surroundings: Surroundings, context: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = build(BuildInputs(context=context), surroundings)
    assert build(BuildInputs(context=context), surroundings) == first
    assert caplog.messages == ["image built", "image was there already"]
    assert caplog.records[-1].__dict__["written_bytes"] == 0
    assert caplog.records[-1].__dict__["reused_bytes"] > 0


@pytest.mark.parametrize(
    ("image", "said", "told"),
    [
        (BuiltImage("host/iris", "sha256:0", 0, 0), "image built", False),  # by buildah
        (BuiltImage("host/iris", "sha256:0", 0, 9, 5), "image built", True),  # was in the cache
        (BuiltImage("host/iris", "sha256:0", 0, 9), "image was there already", True),
    ],
)
def test_only_what_was_in_its_place_is_said_to_have_been_there(
    caplog: pytest.LogCaptureFixture, image: BuiltImage, said: str, told: bool
) -> None:
    caplog.set_level(logging.INFO)
    _report(image, 1.0)
    assert caplog.messages == [said]
    assert hasattr(caplog.records[0], "written_bytes") is told


def test_a_repository_can_be_named(
    surroundings: Surroundings, context: str, tmp_path: Path
) -> None:
    inputs = BuildInputs(context=context, repository=f"oci-layout://{tmp_path}/mine")
    assert build(inputs, surroundings).image.startswith(f"oci-layout://{tmp_path}/mine@sha256:")


def test_source_date_epoch_is_taken(
    surroundings: Surroundings, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = build(BuildInputs(context=context), surroundings)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    assert build(BuildInputs(context=context), surroundings) != without


def test_an_unknown_builder_is_refused_with_what_there_is(
    surroundings: Surroundings, context: str
) -> None:
    with pytest.raises(InputError, match="no builder 'docker'") as caught:
        build(BuildInputs(context=context, builder="docker"), surroundings)
    assert "layered" in caught.value.fix


@pytest.mark.parametrize("context", ["", "/x", "s3://b/x", "file://host/x", "file:x"])
def test_a_context_is_a_reference(surroundings: Surroundings, context: str) -> None:
    with pytest.raises(InputError, match="is no reference to a build context"):
        build(BuildInputs(context=context), surroundings)


def test_a_context_that_is_gone_is_named(surroundings: Surroundings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no build context"):
        build(BuildInputs(context=(tmp_path / "gone").as_uri()), surroundings)


def test_an_image_goes_to_a_registry(surroundings: Surroundings, context: str) -> None:
    with bad_registry() as registry:
        inputs = BuildInputs(
            context=context, repository=f"{registry.host}/me/iris", base_image="none"
        )
        outputs = build(inputs, surroundings)
        assert outputs.image_url == f"{registry.host}/me/iris"
        assert "v1" in registry.manifests
        assert build(inputs, surroundings) == outputs


def test_an_unknown_compression_is_refused(surroundings: Surroundings, context: str) -> None:
    with pytest.raises(InputError, match=r"^compression: 'lzma' is no compression"):
        build(BuildInputs(context=context, compression="lzma"), surroundings)


@pytest.mark.integration
def test_what_was_retrieved_on_one_machine_is_built_on_another(
    surroundings: Surroundings, s3: str, tmp_path: Path, context: str
) -> None:
    there = retrieve(RetrieveInputs(name="iris", contexts=f"{s3}/contexts"), surroundings).context
    assert there.startswith(f"{s3}/contexts/")
    elsewhere = Surroundings(tmp_path / "elsewhere")
    built = build(BuildInputs(context=there), elsewhere)
    assert built.image_digest == build(BuildInputs(context=context), surroundings).image_digest
