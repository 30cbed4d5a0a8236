from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coalmine.compiler.yamltext import SAFE, WORDS, to_yaml


class Dumper(yaml.SafeDumper):
    """What the writer has to agree with: PyYAML, told to quote and to indent."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def quoted(dumper: Dumper, text: str) -> yaml.ScalarNode:
    bare = SAFE.fullmatch(text) and text.lower() not in WORDS and not text.endswith(" ")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if bare else '"')


Dumper.add_representer(str, quoted)
ODD = "\0\x07\x1b\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffe☃😀\"\\\n\t #:'-{}y"
texts = st.text(max_size=12) | st.text(st.sampled_from(ODD), max_size=6)
keys = st.from_regex(r"[A-Za-z0-9_./$'\":# -]{1,12}", fullmatch=True)
"""Keys of one line, as all of ours are."""
plain = st.recursive(
    texts | st.integers() | st.booleans(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(keys, parts, max_size=3),
    max_leaves=12,
)


@given(document=st.dictionaries(keys, plain, min_size=1, max_size=4))
def test_it_writes_what_pyyaml_writes(document: dict[str, Any]) -> None:
    written = to_yaml(document)
    assert written == yaml.dump(
        document, Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True
    )
    assert yaml.safe_load(written) == document


def test_what_is_no_plain_data_is_an_error() -> None:
    with pytest.raises(TypeError, match="no plain data: None"):
        to_yaml({"a": None})
