"""The played controllers, held against what real ones were recorded to do."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coalmine.serving.kserve.seen import Seen
from tests.kubeapi.patches import json_patch
from tests.kubeapi.store import Object, Store
from tests.serving.kserve.conftest import V1, V2, World
from tests.serving.kserve.controller import ISVC, NAMESPACE, Played
from tests.serving.kserve.test_knative import canary

RECORDINGS = Path(os.environ["COALMINE_SHARED"]) / "recordings"


def _facts(seen: Seen) -> tuple[Any, ...]:
    names = (seen.created, seen.ready, seen.rolled_out, seen.newest_routed)
    return (*(name[-5:] for name in names), {k[-5:]: v for k, v in seen.split.items()})


def _recorded(name: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("the recordings of real clusters are not here")
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [e for e in entries if "action" in e or e["object"]["kind"] == "InferenceService"]


@pytest.mark.parametrize("name", ["kserve-knative-canary-lifecycle", "kserve-knative-tag-routing"])
def test_every_action_ends_as_recorded(name: str) -> None:
    played, ends = None, ()
    for entry in _recorded(name):
        if "action" not in entry:
            ends = _facts(Seen(entry["object"]))
            continue
        if entry["action"].startswith("POST"):
            played = Played(Store(), name=entry["body"]["metadata"]["name"])
            played.store.create(entry["body"], NAMESPACE)
        else:
            assert played is not None
            service = played.store.get(ISVC, NAMESPACE, played.name)
            # What was seen last before an action is what the action before it came to.
            if service.get("status"):
                assert _facts(Seen(service)) == ends, entry["action"]
            change = partial(json_patch, operations=entry["body"])
            played.store.update(ISVC, NAMESPACE, played.name, change)
        played.settle()
    assert played is not None
    assert _facts(Seen(played.store.get(ISVC, NAMESPACE, played.name))) == ends


def test_a_roll_back_in_one_write_would_send_all_traffic_to_the_canary(world: World) -> None:
    """As recorded: so it takes two, see `coalmine.serving.kserve.decide`."""
    world.serving()
    canary(world.backend())

    def one_write(service: Object) -> None:
        service["spec"]["predictor"]["containers"][0]["image"] = V1
        del service["spec"]["predictor"]["canaryTrafficPercent"]

    world.edit(one_write)
    world.step()
    assert world.worst[V2] == 100
