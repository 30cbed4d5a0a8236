from __future__ import annotations

import contextlib
import copy
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.ir import read_graph, read_graph_text
from coalmine.compiler.ir.document import load_documents

ROOT = Path(__file__).parent.parent.parent
RELEASE = ROOT / "compiled" / "kfp" / "release.yaml"
TEXT = RELEASE.read_text()
DOCUMENTS = list(yaml.safe_load_all(TEXT))

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no compiled pipeline"),
        ("just words", "holds no compiled pipeline"),
        ("- a\n- list", "holds no compiled pipeline"),
        ("apiVersion: v1\nkind: Pod", "schemaVersion is missing"),
        (TEXT.replace("schemaVersion: 2.1.0", "schemaVersion: 3.0.0"), "schemaVersion is '3.0.0'"),
        (TEXT.replace("schemaVersion: 2.1.0", "schemaVersion: 2"), "schemaVersion is 2;"),
        (TEXT[: len(TEXT) // 3], "(is missing|does not hold|is no YAML)"),
        ("a: [1, 2", "is no YAML: line"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' stands here twice"),
        ("a:\n\tb: 1", "is no YAML: line 2"),
        ("a: \x00", "is no YAML"),
        ("a: \ud800", "is no YAML"),
        ("1: 2", "the key '1' is no text"),
        ("? [a]\n: b", "a key is no text"),
        ("a: 2020-99-99", "line 1, column 4: month must be in 1..12"),
        ("a: !!python/object/apply:os.getcwd []", "line 1, column 4: the tag .* is not taken"),
        ("a: !!binary x", "line 1, column 4: the tag .* is not taken"),
        ("<<: {a: 1}", "'<<' without quotes"),
        ("a: &a\n  b: *a", "line 2, column 6: the alias"),
        (BOMB, r"line \d, column \d: the alias"),
        ("a: " + "[" * 100_000, "nested more than 200 deep"),
        ("".join(" " * depth + "a:\n" for depth in range(500)), "nested more than 200 deep"),
        (TEXT.replace("2.1.0", "9" * 5000), "is no YAML: line"),
    ],
)
def test_what_is_no_pipeline_is_one_clear_error(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_graph_text(text, source="some.yaml")
    assert caught.value.message.startswith("some.yaml")
    assert caught.value.fix
    assert "\n" not in caught.value.message


def test_aliases_within_reason_are_what_they_stand_for() -> None:
    assert load_documents("a: &x {b: [1]}\nc: *x") == [{"a": {"b": [1]}, "c": {"b": [1]}}]


def test_yaml_is_read_as_others_read_it() -> None:
    text = (
        "a: [1, 1.5, true, ~, '1', y, \"\\u00e9\"]\nb: |\n  two\n  lines\nc: {}\n---\nd: 'it''s'\n"
    )
    assert load_documents(text) == list(yaml.safe_load_all(text))
    assert load_documents(TEXT) == DOCUMENTS


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("image: ghcr.io", "imagine: ghcr.io", "image: ghcr.io", "the field .*imagine"),
        ("name: comp-gate\n", "name: comp-grate\n", "gate:\n", "'comp-grate'.* does not hold"),
        ("executorLabel: exec-gate", "executorLabel: exec-no", "gate:\n", "executor 'exec-no'"),
        ("== ''promote''", "== ''it's''", "condition", "(the condition|is no YAML)"),
    ],
)
def test_an_error_names_its_line(old: str, new: str, line: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=rf"some\.yaml(, line \d+)?: .*{said}") as caught:
        read_graph_text(TEXT.replace(old, new), source="some.yaml")
    if ", line" in caught.value.message:
        number = int(caught.value.message.split("line ")[1].split(":")[0])
        assert 0 < number <= TEXT.count("\n")


def test_the_line_is_the_right_one() -> None:
    number = line_of("executorLabel: exec-gate")
    broken = TEXT.replace("executorLabel: exec-gate", "executorLabels: exec-gate")
    with pytest.raises(InputError, match=rf"some\.yaml, line {number}: .*executorLabels"):
        read_graph_text(broken, source="some.yaml")


def test_names_that_collide_once_groups_are_flat() -> None:
    ir = copy.deepcopy(DOCUMENTS)
    tasks = ir[0]["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    ir[0]["components"]["comp-group"] = {"dag": {"tasks": {"b": copy.deepcopy(tasks["retrieve"])}}}
    ir[0]["components"]["comp-group"]["dag"]["tasks"]["b"]["inputs"] = {
        "parameters": {
            name: {"runtimeValue": {"constant": "x"}} for name in ("name", "version", "store")
        }
    }
    tasks["a"] = {"componentRef": {"name": "comp-group"}}
    tasks["a-b"] = tasks["retrieve"]
    with pytest.raises(InputError, match="same name 'a-b'"):
        read_graph_text(yaml.safe_dump_all(ir))


def test_ten_megabytes_are_refused_at_once(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text(TEXT + "# " + "x" * 10_000_000)
    began = time.perf_counter()
    with pytest.raises(InputError, match=r"large\.yaml: has 9\.6 MiB"):
        read_graph(large)
    assert time.perf_counter() - began < 1


def test_megabytes_that_are_no_pipeline_take_little(tmp_path: Path) -> None:
    wide = tmp_path / "wide.yaml"
    entries = "".join(f"  key{number}: [1, 2, 3]\n" for number in range(50_000))
    wide.write_text(f"schemaVersion: 2.1.0\ncomponents:\n{entries}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "coalmine",
            "compile",
            wide,
            "--target",
            "argo",
            "-o",
            tmp_path / "out",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
    )
    assert done.returncode == 2, done.stderr
    assert "is missing" in done.stderr
    assert not (tmp_path / "out").exists()


def places(item: object, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    entries = (
        item.items() if isinstance(item, dict) else enumerate(item if type(item) is list else [])
    )
    for key, value in entries:
        yield from places(value, (*way, key))


PLACES = list(places(DOCUMENTS))
JUNK: list[Any] = [
    *(None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**30, "", "x", "{{", "$(params.x)"),
    *("'", "é\n", "10s", "2.1.0", [], {}, [1], {"a": 1}, {"Concat": ["x"]}),
]


def follow(item: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        item = item[key]
    return item


def change(documents: list[Any], way: tuple[Any, ...], new: object) -> None:
    try:
        around = follow(documents, way[:-1])
        if new is GONE:
            del around[way[-1]]
        else:
            around[way[-1]] = copy.deepcopy(new)
    except (KeyError, IndexError, TypeError):
        return  # an earlier change took the place away


GONE = object()
NEW = st.sampled_from([GONE, *JUNK]) | st.sampled_from(PLACES).map(
    lambda way: follow(DOCUMENTS, way)
)


@settings(max_examples=40)
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), NEW), min_size=1, max_size=3))
def test_a_changed_file_is_a_pipeline_or_a_clean_error(
    changes: list[tuple[tuple[Any, ...], object]],
) -> None:
    documents = copy.deepcopy(DOCUMENTS)
    for way, new in changes:
        change(documents, way, new)
    reads_or_refuses(yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False))


@settings(max_examples=40)
@given(
    begin=st.integers(0, len(TEXT)),
    cut=st.integers(0, 200) | st.just(len(TEXT)),
    junk=st.text("\x00\t\n :{}[]'\"&*!|>%@`#-?,é", max_size=4),
)
def test_a_text_with_a_hole_is_a_pipeline_or_a_clean_error(begin: int, cut: int, junk: str) -> None:
    reads_or_refuses(TEXT[:begin] + junk + TEXT[begin + cut :])


def reads_or_refuses(text: str) -> None:
    """Let nothing but a clean error out."""
    with contextlib.suppress(InputError):
        graph = read_graph_text(text, source="some.yaml")
        for lower in (tekton.lower, argo.lower):
            lower(graph).to_yaml()
