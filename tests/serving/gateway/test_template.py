"""What a service is made from, and how the backend is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from coalmine._base.errors import InputError
from coalmine.serving.gateway.template import template_of
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.select import ServingSettings, open_backend
from tests.kubeapi.server import KubeApi, serve
from tests.kubeapi.store import Object
from tests.serving.gateway.world import adopt, deployment, isvc, new_world, route


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


def test_the_settings_lead_here(
    api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt(new_world(api))
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "ml")))
    template = tmp_path / "serving.yaml"
    template.write_text(yaml.safe_dump_all([deployment("any"), route()]))
    settings = ServingSettings(template=str(template), preview="blue", mirror="5")
    opened = open_backend("gateway", state=tmp_path, unpack=lambda _, into: into, settings=settings)
    assert isinstance(opened, KubeServing)
    assert [share.revision for share in opened.observe("iris").shares] == ["iris-v1"]
    opened._kube.close()
    for field, wrong in (
        ("mirror", replace(settings, mirror="101")),
        ("template", replace(settings, template="none.yaml")),
    ):
        with pytest.raises(InputError) as caught:
            open_backend(
                "gateway",
                state=tmp_path,
                unpack=lambda _, into: into,
                settings=wrong,
            )
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([route()], "holds 0 workloads"),
        ([deployment("a"), isvc("b")], "holds 2 workloads"),
        ([{"kind": "StatefulSet"}], "a StatefulSet cannot serve a canary"),
        ([{"kind": "Deployment", "spec": {}}], "has no container"),
        ([deployment("a"), {"kind": "HTTPRoute", "spec": {}}], "names no Gateway"),
    ],
)
def test_a_template_that_is_none(items: list[Object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        template_of(items)
