from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import coalmine
from coalmine._base.errors import CoalmineError, InputError
from coalmine.stack.prometheus_binary import VARIABLE, default_cache, ensure, find


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_it_is_looked_for_in_the_variable_then_path_then_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert find(cache) is None
    cached = program(cache / "usr" / "bin" / "prometheus")
    assert find(cache) == cached
    on_path = program(tmp_path / "bin" / "prometheus")
    assert find(cache) == on_path
    named = program(tmp_path / "mine")
    monkeypatch.setenv(VARIABLE, str(named))
    assert find(cache) == ensure(cache) == named


def test_a_checkout_keeps_its_own_wherever_it_is_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Path(coalmine.__file__).parent.parent
    monkeypatch.chdir(tmp_path)
    assert default_cache() == checkout / ".coalmine" / "cache" / "prometheus"


def test_an_installed_package_keeps_it_for_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalmine, "__file__", str(tmp_path / "site" / "coalmine" / "__init__.py"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for named in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert default_cache() == tmp_path / "home" / ".cache" / "coalmine" / "prometheus"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_cache() == tmp_path / "caches" / "coalmine" / "prometheus"


def test_the_command_of_make_setup_downloads_into_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    source = Path(coalmine.__file__).parent
    for part in ("__init__.py", "_base", "stack"):
        copy = shutil.copytree if (source / part).is_dir() else shutil.copy
        (checkout / "coalmine").mkdir(parents=True, exist_ok=True)
        copy(source / part, checkout / "coalmine" / part)
    (checkout / "pyproject.toml").touch()
    program(tmp_path / "bin" / "apt-get", '#!/bin/sh\n: > "$PWD/prometheus_1.deb"\n')
    unpack = '#!/bin/sh\n/bin/mkdir -p "$3/usr/bin" && : > "$3/usr/bin/prometheus"\n'
    program(tmp_path / "bin" / "dpkg", unpack)
    subprocess.run(
        [sys.executable, "-m", "coalmine.stack.prometheus_binary"],
        cwd=checkout,
        env={"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(checkout)},
        check=True,
    )
    cache = checkout / ".coalmine" / "cache" / "prometheus"
    assert (cache / "usr" / "bin" / "prometheus").is_file()


def test_a_variable_that_names_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=f"{VARIABLE}: .*nothing is no program"):
        find(tmp_path)


def test_without_debians_tools_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CoalmineError, match="without apt-get and dpkg") as raised:
        ensure(tmp_path / "cache")
    assert VARIABLE in raised.value.fix


def test_a_failed_download_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "dpkg")
    program(tmp_path / "bin" / "apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    with pytest.raises(CoalmineError, match="apt-get failed: E: no network"):
        ensure(tmp_path / "caches" / "prometheus")
    left = [path.name for path in (tmp_path / "caches").iterdir()]
    assert [name for name in left if "lock" not in name] == []
