from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.boundedyaml import read_bounded
from coalmine._base.errors import InputError
from coalmine.images.bento import read_facts
from coalmine.stores.manifest import read_manifest

ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGES = "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10)
)
HOSTILE = {
    "aliases in the name": f"{ALIASES}name: *a9\nversion: v1\n",
    "aliases in a command": f"{ALIASES}name: iris\nversion: v1\nimage: {{commands: [*a9]}}\n",
    "merges": f"{MERGES}name: iris\nversion: v1\n",
    "a list in itself": "name: &a [*a]\nversion: v1\n",
    "deep, open": "[" * 100_000,
    "deep": "{a: " * 5_000 + "}" * 5_000,
    "a number in base 60": f"name: iris\nversion: v1\nx: 1{':59' * 100_000}\n",
    "a number in base 60 by tag": f"name: iris\nversion: v1\nx: !!int '1{':59' * 100_000}'\n",
    "many values": f"name: iris\nversion: v1\nx: [{'[],' * 100_001}]\n",
    "large": f"name: iris\nversion: v1\nx: {'x' * (1 << 20)}\n",
}


@pytest.mark.parametrize("read", [read_manifest, read_facts])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bento_that_would_fill_memory_or_time_is_refused(
    tmp_path: Path, text: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / "bento.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(InputError, match="not what BentoML writes"):
        read(tmp_path)
    assert time.process_time() - began < 10  # without the bounds: minutes, or a dead process


@pytest.mark.parametrize("read", [read_manifest, read_facts])
@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to(path), os.mkfifo])
def test_what_is_no_file_is_no_bento(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    make(tmp_path / "bento.yaml")
    with pytest.raises(InputError, match=r"has no bento\.yaml"):
        read(tmp_path)


def test_aliases_as_yaml_itself_writes_them_are_taken(tmp_path: Path) -> None:
    models = [{"tag": "iris_model:v1"}]
    content = {"name": "iris", "version": "v1", "services": [{"models": models}] * 3, "x": models}
    text = yaml.safe_dump(content)
    assert "*id" in text
    (tmp_path / "bento.yaml").write_text(text)
    assert read_bounded(tmp_path / "bento.yaml") == content


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.mktemp("yaml") / "bento.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_bounded(path) == content
