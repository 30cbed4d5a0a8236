"""Release one version of a bento into one service: canary, gate, then promote or roll back.

Wiring only. What each task does stands in its component; how long it may take and how often it is
tried again stands here. (Annotations must stay real types here: kfp reads them when it compiles.)
"""

from pathlib import Path

from kfp import components, dsl
from kfp.kubernetes import set_timeout

__all__ = ["release"]

COMPONENTS = Path(__file__).parent.parent / "components"
MINUTE = 60


def _load(name: str) -> components.YamlComponent:
    return components.load_component_from_file(str(COMPONENTS / name / "component.yaml"))


retrieve = _load("retrieve")
build = _load("build")
canary = _load("canary")
gate = _load("gate")
promote = _load("promote")
rollback = _load("rollback")
finalize = _load("finalize")


def _guard(task: dsl.PipelineTask, *, minutes: int, retries: int) -> dsl.PipelineTask:
    """Limit every try, try again after 10, 20, 40 ... seconds, and never take a cached result."""
    task.set_caching_options(enable_caching=False)
    task.set_retry(retries, backoff_duration="10s", backoff_factor=2.0)
    set_timeout(task, minutes * MINUTE)
    return task


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="release",
    description="Release one bento version into one service behind a canary and a gate.",
)
def release(  # noqa: PLR0917 - kfp pipelines take their parameters by position too
    release_id: str,
    service: str,
    name: str,
    version: str = "",
    percent: int = 10,
    policy: str = "",
    store: str = "",
    contexts: str = "",
    repository: str = "",
    serving: str = "",
    prometheus_url: str = "",
    namespace: str = "",
    kind: str = "bento",
) -> None:
    """Release one bento version into one service.

    Args:
        release_id: The release; the same id is the same release.
        service: The service that users call.
        name: The bento's name.
        version: The bento's version; empty means the newest.
        percent: The canary's share of the traffic, 1 to 99.
        policy: The gate's policy; empty means the default policy.
        store: Where bentos come from; empty means the engine's own.
        contexts: Where build contexts go, for example s3://bucket/prefix; empty means the engine's
            own.
        repository: Where images go; empty means the engine's own.
        serving: The serving backend; empty means the engine's own.
        prometheus_url: Base URL of Prometheus; empty means the engine's own.
        namespace: Kubernetes namespace of the service, for gate policies that use it.
        kind: What the image is of: bento, or model for its models alone.
    """
    end = finalize(release_id=release_id, service=service, serving=serving)
    _guard(end, minutes=10, retries=5)
    with dsl.ExitHandler(end):
        bento = _guard(
            retrieve(name=name, version=version, store=store, contexts=contexts),
            minutes=10,
            retries=3,
        )
        image = _guard(
            build(context=bento.outputs["context"], repository=repository, kind=kind),
            minutes=15,
            retries=2,
        )
        trial = canary(
            release_id=release_id,
            service=service,
            image=image.outputs["image"],
            version=bento.outputs["version"],
            percent=percent,
            policy=policy,
            serving=serving,
            prometheus_url=prometheus_url,
            namespace=namespace,
        )
        _guard(trial, minutes=10, retries=2)
        judge = gate(
            release_id=release_id,
            service=service,
            canary=trial.outputs["canary"],
            stable=trial.outputs["stable"],
            since=trial.outputs["since"],
            policy=policy,
            prometheus_url=prometheus_url,
            namespace=namespace,
        )
        # A policy limits its gate itself; a day leaves time for a person where one is asked.
        _guard(judge, minutes=24 * 60, retries=2)
        with dsl.If(judge.outputs["verdict"] == "promote"):
            _guard(
                promote(release_id=release_id, service=service, serving=serving),
                minutes=10,
                retries=5,
            )
        with dsl.Else():
            _guard(
                rollback(
                    release_id=release_id,
                    service=service,
                    reason=judge.outputs["reason"],
                    serving=serving,
                ),
                minutes=10,
                retries=5,
            )
