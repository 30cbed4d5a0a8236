"""The tag routes by which a canary is called before it has a share, where the service has them."""

from __future__ import annotations

from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kube.ownership import Ownership
from tests.serving.kserve.conftest import World
from tests.serving.kserve.test_knative import canary

HOST = "iris-predictor.ml.example.com"


def entry(revision: str, percent: int, tag: str) -> dict[str, object]:
    newest = {"latestRevision": tag == "latest", "url": f"http://{tag}-{HOST}"}
    return {"revisionName": revision, "percent": percent, "tag": tag, **newest}


def seen(*traffic: dict[str, object]) -> Seen:
    return Seen({"status": {"components": {"predictor": {"traffic": list(traffic)}}}})


def test_a_dark_canary_has_a_url_and_no_share() -> None:
    """As recorded with KServe 0.20 and the annotation, at a percent of 0 and then of 10."""
    dark = seen(entry("iris-00002", 0, "latest"), entry("iris-00001", 100, "prev"))
    assert (dark.split, dark.newest_routed) == ({"iris-00001": 100}, "iris-00002")
    assert dark.preview == f"http://latest-{HOST}"
    ten = seen(entry("iris-00002", 10, "latest"), entry("iris-00001", 90, "prev"))
    assert ten.split == {"iris-00002": 10, "iris-00001": 90}


def test_without_the_annotation_there_is_no_preview() -> None:
    plain = {"revisionName": "iris-00001", "percent": 100, "latestRevision": True}
    assert seen(plain).preview == ""


def test_the_record_says_where_a_dark_canary_is_called(world: World) -> None:
    world.played.tagged = True
    world.serving()
    canary(world.backend())
    kept = Ownership(world.kube).read("iris")
    assert kept
    assert kept.notes["preview"] == "http://latest-iris.ml.example.com"
