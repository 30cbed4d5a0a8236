"""What the pages tell to type: its files are there, and are what the steps take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import load_policy
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.select import ServingSettings, open_backend
from coalmine.steps.contract import Surroundings
from coalmine.steps.flagger import analysis_of, plan_of
from coalmine.steps.wiring import prometheus_of
from tests.kubeapi.server import KubeApi

ROOT = Path(__file__).parents[3]
PAGES = ["kserve.md", "gateway-api.md", "flagger.md"]
NAMES = {"service": "iris", "canary": "iris-r2", "namespace": "ml"}


def exported(page: str) -> dict[str, str]:
    """The settings that a page tells to export, by their names."""
    lines = re.findall(r"^    export (.*)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    return dict(re.findall(r"COALMINE_(\w+)=(\S+)", " ".join(lines)))


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_of_a_page_open_its_backend(
    page: str, api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "ml")))
    told = exported(page)
    settings = ServingSettings(namespace=told["NAMESPACE"], template=told["TEMPLATE"])
    backend = open_backend(
        told["SERVING"], state=tmp_path, unpack=lambda _, into: into, settings=settings
    )
    assert isinstance(backend, KubeServing)
    assert backend.observe("iris").shares == ()
    backend._kube.close()


@pytest.mark.parametrize("page", PAGES)
def test_the_policy_of_a_page_judges_with_and_without_a_stable_version(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    told = exported(page)
    policy = load_policy(told["POLICY"])
    assert told["PROMETHEUS_URL"].startswith("http://")
    if told["SERVING"] == "flagger":
        plan = plan_of(policy, "iris", "ml")
        assert len(analysis_of(plan, told["PROMETHEUS_URL"], 10).measures) == len(policy.checks)
    assert make_plan(policy, {**NAMES, "stable": ""}).queries
    assert len(make_plan(policy, {**NAMES, "stable": "iris-r1"}).queries) == len(policy.checks)


def test_a_cluster_has_no_prometheus_by_default(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COALMINE_PROMETHEUS_URL") as caught:
        prometheus_of("", "kserve", Surroundings(tmp_path))
    assert caught.value.field == "prometheus_url"
    assert prometheus_of("http://p", "kserve", Surroundings(tmp_path)) == "http://p"


def test_a_cluster_has_no_policy_by_default(
    kube: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coalmine.steps import canary  # noqa: PLC0415 - beside its own inputs

    monkeypatch.chdir(ROOT)
    inputs = canary.Inputs("r1", "iris", "a@sha256:" + "0" * 64, "1", serving="kserve")
    with pytest.raises(InputError, match="Envoy") as caught:
        canary.run(inputs, Surroundings(tmp_path))
    assert caught.value.field == "policy"
