"""A template of any content is read or refused in a sentence, by every backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.serving.flagger.analysis import Analysis, canary_for
from coalmine.serving.flagger.template import load_template as flagger
from coalmine.serving.gateway.template import load_template as gateway
from coalmine.serving.kserve.template import load_template as kserve

ROOT = Path(__file__).parents[3]
LOADERS: dict[str, Callable[[str], Any]] = {
    "kserve": kserve,
    "gateway": gateway,
    "flagger": flagger,
}
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, 1, "x", [], [1], ["x"], {}, {"a": 1}, [{}], [[]], [{"ports": 1}]]
)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("text", [b"\x89\xff", b"a: [", b"x", b"[1]", b"", b"[" * 5000, b"a: 1"])
def test_what_is_no_template_is_refused(name: str, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "serving.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        LOADERS[name](str(path))
    assert caught.value.field == "template"
    assert caught.value.fix


@pytest.mark.parametrize("name", LOADERS)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoiled_template_ends_in_a_sentence(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    items = list(yaml.safe_load_all((ROOT / "deploy" / name / "serving.yaml").read_text()))
    here: Any = data.draw(st.sampled_from(items))
    while isinstance(here, dict | list) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(here[key], dict | list):
            here[key] = data.draw(WRONG)
            break
        here = here[key]
    path = tmp_path / "serving.yaml"
    path.write_text(yaml.safe_dump_all(items))
    with contextlib.suppress(InputError):
        made = LOADERS[name](str(path))
        if name == "flagger":
            filled = made.filled("iris", "image", "")
            canary_for("iris", filled, Analysis("http://p", 60, 1, (10,), ()), made.canary)
