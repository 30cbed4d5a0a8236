"""A bento's service is imported when that is asked for, as it will be in its image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from bad_registry import BadRegistry, bad_registry
from base_images import push_base
from package_index import package_index, write_wheel

from coalmine._base.errors import CoalmineError, InputError
from coalmine.images.importing import check_import, import_seconds
from coalmine.images.kinds import MODEL
from coalmine.images.layered import LayeredBuilder
from coalmine.images.platforms import own_platform

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
LOADS = "import runpy\ndef load(path):\n    runpy.run_path(path + '/src/service.py')\n"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A tree with a small stand-in for BentoML, so that importing takes no time."""
    tree = tmp_path / "packages"
    tree.mkdir()
    (tree / "bentoml.py").write_text(LOADS)
    return tree


def _service(context: Path, code: str) -> Path:
    (context / "src" / "service.py").write_text(code)
    return context


@pytest.mark.integration
def test_bentoml_itself_imports_the_service(context: Path) -> None:
    (context / "bento.yaml").write_text(
        "name: iris\nversion: v1\ncreation_time: '2026-01-02T03:04:05+00:00'\n"
        "bentoml_version: 1.4.0\nservice: service:Iris\nentry_service: Iris\nspec: 2\n"
        "services: [{name: Iris, service: ''}]\n"
        "models: []\nlabels: {}\nenvs: []\nschema: {}\n"
        "image: {base_image: none, python_version: '3'}\n"
    )
    shutil.rmtree(context / "models")
    seen = context / "imported"
    code = f"import bentoml\nopen({str(seen)!r}, 'w')\n@bentoml.service\nclass Iris:\n    pass\n"
    check_import(_service(context, code), seconds=120)
    assert seen.exists()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import click", "No module named 'click'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os._exit(3)", "Python ended with 3"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_what_is_wrong_is_told(context: Path, packages: Path, code: str, told: str) -> None:
    """Click is installed here, and is not among the image's packages."""
    with pytest.raises(InputError, match=told) as caught:
        check_import(_service(context, code), seconds=60, packages=packages)
    assert caught.value.exit_code == 2


def test_it_has_no_secrets_and_no_home_of_ours(
    context: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", str(context))
    code = (
        "import os, sys\n"
        "assert 'AWS_SECRET_ACCESS_KEY' not in os.environ\n"
        f"assert os.environ['HOME'] != {os.environ['HOME']!r}\n"
        f"assert {str(context)!r} not in sys.path\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
    )
    check_import(_service(context, code), seconds=60, packages=packages)


def test_what_does_not_end_is_ended_with_all_that_it_started(
    context: Path, packages: Path, tmp_path: Path
) -> None:
    code = (
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r})\n"
        "time.sleep(600)\n"
    )
    seconds = 0.5
    while not (tmp_path / "pid").exists():  # however slow the machine is
        seconds *= 2
        with pytest.raises(CoalmineError, match=f"has not ended in {seconds:g} s") as caught:
            check_import(_service(context, code), seconds=seconds, packages=packages)
        assert caught.value.exit_code == 1
    child = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 30
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "it still runs"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1.5", "٣"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no number of seconds"):
        import_seconds(text)
    assert (import_seconds(""), import_seconds("60")) == (0.0, 60.0)


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    with bad_registry() as registry:
        push_base(registry.host, env=(f"PYTHON_VERSION={HERE}.1",))
        push_base(registry.host, tag="other", env=("PYTHON_VERSION=3.2.1",))
        yield registry


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "wheels").mkdir()
    write_wheel(tmp_path / "wheels", "bentoml", code=LOADS)
    write_wheel(tmp_path / "wheels", "tool")
    with package_index(tmp_path / "wheels") as url:
        yield url


@pytest.fixture
def builder(
    tmp_path: Path,
    registry: BadRegistry,
    context: Path,
    index: str,
    monkeypatch: pytest.MonkeyPatch,
) -> LayeredBuilder:
    (context / "env" / "python").mkdir()
    (context / "env" / "python" / "requirements.txt").write_text("bentoml\ntool\n")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return LayeredBuilder(
        platforms=(own_platform(),),
        cache=tmp_path / "cache",
        base=f"{registry.host}/base/python:slim",
        import_seconds=60.0,
    )


def test_an_image_is_pushed_if_its_service_imports_with_its_packages(
    builder: LayeredBuilder, context: Path, registry: BadRegistry
) -> None:
    fine = _service(context, "import tool\ntry:\n    import click\nexcept ImportError: pass\n")
    first = builder.build(fine, f"{registry.host}/me/iris:fine")
    assert "fine" in registry.manifests
    assert builder.build(fine, f"{registry.host}/me/iris:fine").digest == first.digest
    with pytest.raises(InputError, match="No module named 'click'"):
        builder.build(_service(context, "import click"), f"{registry.host}/me/iris:bad")
    assert "bad" not in registry.manifests


def test_an_image_for_another_machine_is_not_tried_here(
    builder: LayeredBuilder, context: Path, registry: BadRegistry
) -> None:
    other = replace(builder, base=f"{registry.host}/base/python:other")
    with pytest.raises(InputError, match=r"the image is for linux/\w+ with Python 3\.2"):
        other.build(context, f"{registry.host}/me/iris")
    with pytest.raises(InputError, match="has no service"):
        replace(builder, kind=MODEL).build(context, f"{registry.host}/me/iris")


@pytest.mark.integration
def test_no_network_is_needed(context: Path, packages: Path) -> None:
    alone = ["unshare", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("network namespaces cannot be made here")
    program = (
        "import sys; from pathlib import Path; from coalmine.images.importing import check_import; "
        "check_import(Path(sys.argv[1]), seconds=60, packages=Path(sys.argv[2]))"
    )
    words = [*alone, sys.executable, "-c", program, str(_service(context, "")), str(packages)]
    assert subprocess.run(words, check=False).returncode == 0
