"""The wheel holds everything that the checkout has and the package needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = {".yaml", ".j2", ".py", ".typed"}


def test_the_wheel_has_all_modules_data_and_the_compiled_pipeline(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "coalmine").rglob("*")
        if path.suffix in DATA
    }
    assert package <= held
    assert {"coalmine/_pipelines/release.yaml", "coalmine/_pipelines/progressive.yaml"} <= held
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/"))]


def test_it_is_a_module_that_can_be_called() -> None:
    help_call = [sys.executable, "-m", "coalmine", "runs", "--help"]
    shown = subprocess.run(help_call, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("Usage: coalmine runs")


def test_help_imports_nothing_heavy() -> None:
    heavy = {"dbos", "kfp", "bentoml", "sqlalchemy", "rich", "httpx", "pydantic", "yaml"}
    code = f"import sys, coalmine.cli; print(sorted(set(sys.modules) & {heavy!r}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
