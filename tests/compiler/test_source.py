from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler.source import compile_source

ROOT = Path(__file__).parent.parent.parent

TICK = """
from kfp import dsl
@dsl.container_component
def tick():
    return dsl.ContainerSpec(image="i", command=["tick"])
@dsl.pipeline
def once():
    tick()
"""

CLIENTS = """
import sys
assert "kfp.client" not in sys.modules
import kfp
from kfp import Client, client
import kfp.client as same
from kfp.client import Client as again
assert kfp.Client is Client is again is client.Client is same.Client
assert isinstance(Client, type)
assert not hasattr(kfp, "nonsense")
"""


def test_a_source_that_asks_for_kfps_client_gets_the_real_one(tmp_path: Path) -> None:
    source = tmp_path / "once.py"
    source.write_text(CLIENTS + TICK)
    assert "name: once" in compile_source(source)


def test_the_same_text_as_the_sdk_itself_writes(tmp_path: Path) -> None:
    source, theirs = tmp_path / "once.py", tmp_path / "theirs.yaml"
    source.write_text(TICK)
    program = Path(sys.executable).with_name("kfp")
    command = f"{program} dsl compile --py {source} --output {theirs}".split()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert compile_source(source) == theirs.read_text()


def test_a_source_that_fails_is_told_by_its_own_words(tmp_path: Path) -> None:
    source = tmp_path / "once.py"
    source.write_text("import kfp\nkfp.nonsense")
    with pytest.raises(InputError, match="has no attribute 'nonsense'"):
        compile_source(source)


def test_lowering_ir_imports_neither_kfp_nor_what_comes_with_it() -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from coalmine.compiler.targets import Target, compile_targets; "
        "compile_targets(Path('compiled/kfp/release.yaml'), list(Target)); "
        "roots = {name.partition('.')[0] for name in sys.modules}; "
        "print(roots & {'kfp', 'kubernetes', 'google', 'requests'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
