"""A Kubernetes API server in this process, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.serving.kube.client import Kube, open_kube
from tests.kubeapi.server import KubeApi, serve


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


@pytest.fixture
def kube(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "ml")))
    opened = open_kube()
    opened._sleep = lambda _: None
    yield opened
    opened.close()
