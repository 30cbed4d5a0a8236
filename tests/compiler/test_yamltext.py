"""What is written as YAML is read back the same, by more than one parser."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from coalmine.compiler.yamltext import yaml_text

WORDS = ["y", "n", "No", "1e3", "0o7", "1_0", "~", "null", "2024-01-01", "- a", "a: b", "# a", ""]
LINES = st.lists(st.sampled_from(["", " ", "a", " a", "a ", "# a", "- a: b", "---", "...", "é"]))
texts = st.text(max_size=20) | st.sampled_from(WORDS) | LINES.map("\n".join)
scalars = texts | st.integers() | st.booleans() | st.none() | st.sampled_from([0.5, -2.0])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(value=st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3))
@example(value=["\nx\n\n", "x\n\n", "\n\n", "\n", "x\ny"])
@example(value={"k": {"k": [[["x\n y", []], {}]]}})
def test_what_is_written_is_read_back(value: Any) -> None:
    written = yaml_text(value)
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert yaml.load(written, loader) == value
    assert written.endswith("\n")


@pytest.mark.parametrize(
    "text", ["y", "n", "1e3", "0o7", "1_0", "No", "007", "1.0", "=", "\u2028a"]
)
def test_what_some_parser_takes_for_something_else_is_quoted(text: str) -> None:
    assert yaml_text([text])[2] == '"'


def test_it_is_written_as_a_person_would() -> None:
    value = {
        "kind": "Pipeline",
        "empty": [],
        "tasks": [{"name": "a", "args": ["-x", "line\n  line\n"]}, {"name": "b", "retries": 2}],
    }
    assert yaml_text(value) == (
        "kind: Pipeline\nempty: []\ntasks:\n"
        '  - name: a\n    args:\n      - "-x"\n      - |\n        line\n          line\n'
        "  - name: b\n    retries: 2\n"
    )


def test_other_things_are_no_part_of_a_manifest() -> None:
    with pytest.raises(TypeError, match="no place in a manifest"):
        yaml_text({"a": {1, 2}})


def test_lines_after_an_empty_one_keep_their_blanks() -> None:
    for text in ("\n  a\n", "\n\n a\nb\n"):
        assert yaml.safe_load(yaml_text({"k": text})) == {"k": text}
