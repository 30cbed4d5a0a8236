"""Release one version of a bento in steps: a larger share after every gate that says promote.

Wiring only, as in `release`. Each share is judged on its own, from the moment it is routed. A list
that is known when the pipeline is compiled becomes conditions within conditions, which every
engine has; only the numbers in it stay parameters.
"""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from parts import finalize, guard, promote, rollback, traffic
from trial import Trial, put_on_trial

__all__ = ["progressive"]


def _climb(trial: Trial, since: object, larger: Sequence[Any]) -> None:
    """Judge the share that the canary has; then go on with the larger ones, or promote."""
    judged = trial.judged(since)
    with dsl.If(judged.outputs["verdict"] == "promote"):
        if larger:
            moved = guard(traffic(percent=larger[0], **trial.owned), minutes=10, retries=2)
            _climb(trial, moved.outputs["since"], larger[1:])
        else:
            guard(promote(**trial.owned), minutes=10, retries=5)
    with dsl.Else():
        reason = judged.outputs["reason"]
        guard(rollback(reason=reason, **trial.owned), minutes=10, retries=5)


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="progressive",
    description="Release one bento version in steps of traffic, with a gate after each.",
)
def progressive(  # noqa: PLR0917 - kfp pipelines take their parameters by position too
    release_id: str,
    service: str,
    name: str,
    version: str = "",
    percent: int = 10,
    second_percent: int = 25,
    third_percent: int = 50,
    policy: str = "",
    store: str = "",
    contexts: str = "",
    repository: str = "",
    serving: str = "",
    prometheus_url: str = "",
    namespace: str = "",
    kind: str = "bento",
    force_takeover: str = "",
    launcher_url: str = "",
) -> None:
    """Release one bento version into one service, with a gate after every share.

    Args:
        release_id: The release; the same id is the same release.
        service: The service that users call.
        name: The bento's name.
        version: The bento's version; empty means the newest.
        percent: The canary's first share of the traffic, 1 to 99.
        second_percent: Its share after the first gate.
        third_percent: Its share after the second gate.
        policy: The policy of every gate; empty means the default policy.
        store: Where bentos come from; empty means the engine's own.
        contexts: Where build contexts go, for example s3://bucket/prefix; empty means the engine's
            own.
        repository: Where images go; empty means the engine's own.
        serving: The serving backend; empty means the engine's own.
        prometheus_url: Base URL of Prometheus; empty means the engine's own.
        namespace: Kubernetes namespace of the service; gate policies may use it.
        kind: What the image is of: bento, or model for its models alone.
        force_takeover: true takes the service from a release that has not ended.
        launcher_url: Base URL of the launcher, which knows what a person decided about a held
            canary; empty means the engine's own.
    """
    owned = {"release_id": release_id, "service": service}
    owned |= {"serving": serving, "namespace": namespace}
    with dsl.ExitHandler(guard(finalize(**owned), minutes=10, retries=5)):
        trial = put_on_trial(
            wanted={"name": name, "version": version, "store": store, "contexts": contexts},
            made={"repository": repository, "kind": kind},
            share={"percent": percent, "force_takeover": force_takeover},
            owned=owned,
            watched={"policy": policy, "prometheus_url": prometheus_url},
            asked={"launcher_url": launcher_url},
        )
        _climb(trial, trial.task.outputs["since"], [second_percent, third_percent])
