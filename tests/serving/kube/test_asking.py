"""The first prediction, asked of pods that say anything but what they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.serving.kube.asking import answered
from coalmine.serving.kube.client import Kube
from coalmine.serving.kube.diagnosis import PODS
from tests.kubeapi.faults import Fault
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import forbidden

POD = kind_of("v1", "Pod")


@pytest.fixture
def asks(api: KubeApi, kube: Kube) -> Callable[[str, int], tuple[str, list[str]]]:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}}
    made = api.store.create(pod | {"spec": {"containers": []}}, "ml")
    api.store.set_status(made, {"conditions": [{"type": "Ready", "status": "True"}]})

    def ask(page: str, code: int) -> tuple[str, list[str]]:
        asked: list[str] = []

        def answers(_pod: str, method: str, path: str, _body: object) -> tuple[int, str]:
            asked.append(f"{method} {path}")
            return (code, page) if path == "/docs.json" else (200, "{}")

        api.app.pods = answers
        return answered(kube, "a=b", None), asked

    return ask


def test_a_canary_cannot_have_the_release_write_to_the_cluster(
    api: KubeApi, asks: Callable[[str, int], tuple[str, list[str]]]
) -> None:
    out = "/" + "../" * 7 + "api/v1/namespaces/ml/configmaps"
    taken = {"example": {"metadata": {"name": "taken"}}}
    post = {"requestBody": {"content": {"application/json": taken}}}
    said, asked = asks(json.dumps({"paths": {out: {"post": post}}}), 200)
    assert (said, asked) == ("", ["GET /docs.json", "GET /readyz"])
    assert api.store.list(kind_of("v1", "ConfigMap"), "ml")[0] == []


@pytest.mark.parametrize(("page", "code"), [("no", 401), ("no", 403), ("[" * 100_000, 200)])
def test_a_bento_that_shows_no_page_is_asked_whether_it_is_ready(
    asks: Callable[[str, int], tuple[str, list[str]]], page: str, code: int
) -> None:
    assert asks(page, code) == ("", ["GET /docs.json", "GET /readyz"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_right_that_lacks_is_told_at_once(
    api: KubeApi, asks: Callable[[str, int], tuple[str, list[str]]], method: str
) -> None:
    denied = forbidden(POD, "get", "ml", "runner")
    denied.body["message"] = denied.body["message"].replace('"pods"', '"pods/proxy"')
    api.faults.add(Fault(method, "proxy/", denied))
    post: dict[str, Any] = {"requestBody": {"content": {"application/json": {"example": {}}}}}
    with pytest.raises(CoalmineError, match="pods/proxy") as caught:
        asks(json.dumps({"paths": {"/predict": {"post": post}}}), 200)
    assert "deploy/serving" in caught.value.fix


def test_the_pods_are_those_of_the_canary(kube: Kube) -> None:
    assert kube.list(PODS, "a=b") == []
    assert answered(kube, "a=b", None) == "no pod is ready"
