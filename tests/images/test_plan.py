from __future__ import annotations

import random
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.images.plan import Entry, Kind, plan_layers, stays_inside

parts = st.sampled_from(["models", "src", "env", "a", "b", "iris", "v1", "v2", "model.bin"])
paths = st.lists(parts, min_size=1, max_size=5).map("/".join)
entries = st.builds(Entry, path=paths, executable=st.booleans())
bentos = st.lists(entries, max_size=12, unique_by=lambda entry: entry.path)


@settings(max_examples=40)
@given(bentos, st.integers())
def test_the_order_of_files_does_not_count(bento: list[Entry], seed: int) -> None:
    shuffled = list(bento)
    random.Random(seed).shuffle(shuffled)
    assert plan_layers(shuffled) == plan_layers(bento)


@settings(max_examples=40)
@given(bentos)
def test_every_file_is_in_exactly_one_layer(bento: list[Entry]) -> None:
    planned = [e for layer in plan_layers(bento) for e in layer.entries if e.kind is Kind.FILE]
    assert sorted(planned) == sorted(bento)


@settings(max_examples=40)
@given(bentos)
def test_folders_come_before_what_is_in_them(bento: list[Entry]) -> None:
    for layer in plan_layers(bento):
        order = [entry.path for entry in layer.entries]
        for path in order:
            above = [str(p) for p in PurePosixPath(path).parents if str(p) != "."]
            assert all(order.index(parent) <= order.index(path) for parent in above)


def test_code_and_each_model_have_layers_and_the_version_comes_last() -> None:
    layers = plan_layers(
        [
            Entry("bento.yaml"),
            Entry("src/service.py"),
            Entry("models/iris/latest"),
            Entry("models/iris/v2/model.bin"),
            Entry("models/iris/v1", Kind.FOLDER),
        ]
    )
    titles = [layer.title for layer in layers]
    assert titles == ["code", "model iris:v1", "model iris:v2", "bento"]
    assert Entry("models/iris/latest") in layers[-1].entries


def test_the_entry_point_can_be_run() -> None:
    (layer,) = plan_layers([Entry("env/docker/entrypoint.sh")])
    assert layer.entries[-1].executable


@pytest.mark.parametrize(
    ("path", "target", "inside"),
    [
        ("a", "b", True),
        ("a/b", "../c", True),
        ("a/b", "./c", True),
        ("a", "/etc/passwd", False),
        ("a", "..", False),
        ("a", "../x", False),
        ("a/b", "../..", False),
        ("a", "b/..", False),
        ("a", "b/../c", False),
        ("a", "", False),
        ("a", ".", False),
    ],
)
def test_links_stay_inside(path: str, target: str, inside: bool) -> None:
    assert stays_inside(path, target) is inside
