from __future__ import annotations

from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kube.client import Change, Kube, Resource, StaleError, open_kube
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import ApiError, denied, forbidden, gone, too_many

MAPS = Resource("v1", "configmaps", "ConfigMap")
PATH = MAPS.path("ml")


def _make(kube: Kube, name: str = "a", **data: str) -> None:
    body = {"metadata": {"name": name, "labels": {"of": name}}, "data": data}
    kube.write(Change("POST", PATH, body, "make"))


def test_what_is_written_is_read_under_our_name(kube: Kube) -> None:
    assert kube.get(MAPS, "a") is None
    _make(kube, x="1")
    found = kube.get(MAPS, "a")
    assert found is not None
    assert found["data"] == {"x": "1"}
    assert found["metadata"]["managedFields"][0]["manager"] == "coalmine"
    assert [item["metadata"]["name"] for item in kube.list(MAPS, "of=a")] == ["a"]
    assert kube.list(MAPS, "of=b") == []


def test_a_kind_that_is_not_installed_has_no_objects(kube: Kube) -> None:
    assert kube.list(Resource("example.com/v1", "things", "Thing")) == []


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/x", "value": "2"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
    ],
)
def test_a_failed_test_says_to_look_again(kube: Kube, operation: dict[str, str]) -> None:
    _make(kube, x="1")
    with pytest.raises(StaleError):
        kube.write(Change("PATCH", f"{PATH}/a", [operation], "change"))


@pytest.mark.parametrize("refusal", [too_many(1), gone(1, 2)])
def test_a_read_is_tried_again(kube: Kube, api: KubeApi, refusal: ApiError) -> None:
    _make(kube)
    api.faults.add(Fault("GET", "configmaps", refusal))
    api.faults.add(Fault("GET", "configmaps", reset=Reset.BEFORE))
    assert kube.get(MAPS, "a") is not None


@pytest.mark.parametrize("reset", list(Reset))
def test_a_write_that_may_have_happened_is_not_repeated(
    kube: Kube, api: KubeApi, reset: Reset
) -> None:
    api.faults.add(Fault("POST", "configmaps", reset=reset))
    with pytest.raises(StaleError):
        _make(kube)
    assert len(api.said("POST")) == 1


def test_a_refusal_of_a_webhook_is_wrong_input(kube: Kube, api: KubeApi) -> None:
    api.faults.add(Fault("POST", "configmaps", denied("hook.example.com", "not this")))
    with pytest.raises(InputError, match="not this"):
        _make(kube)


def test_a_missing_right_names_where_the_rights_are(kube: Kube, api: KubeApi) -> None:
    kind = kind_of("v1", "ConfigMap")
    api.faults.add(Fault("POST", "configmaps", forbidden(kind, "create", "ml", "runner")))
    with pytest.raises(CoalmineError, match="cannot create") as caught:
        _make(kube)
    assert caught.value.exit_code == 1
    assert "deploy/serving" in caught.value.fix


def test_a_quota_is_not_taken_for_a_missing_right(kube: Kube, api: KubeApi) -> None:
    over = forbidden(kind_of("v1", "ConfigMap"), "create", "ml", "runner")
    over.body["message"] = 'configmaps "a" is forbidden: exceeded quota: q, requested: 1, used: 9'
    api.faults.add(Fault("POST", "configmaps", over))
    with pytest.raises(InputError, match="exceeded quota") as caught:
        _make(kube)
    assert "rights" not in caught.value.fix


def test_no_cluster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="no Kubernetes cluster"):
        open_kube()
