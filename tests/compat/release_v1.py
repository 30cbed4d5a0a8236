"""The release pipeline once more, in the DSL of kfp 1.8, over the same component files.

What kfp 1.8 cannot say is left out: descriptions of parameters, and waits between tries on Tekton.
"""

from collections.abc import Callable
from pathlib import Path

from kfp import components, dsl

COMPONENTS = Path(__file__).parents[2] / "components"
MINUTE = 60


def _load(name: str) -> Callable[..., dsl.ContainerOp]:
    loaded: Callable[..., dsl.ContainerOp] = components.load_component_from_file(
        str(COMPONENTS / name / "component.yaml")
    )
    return loaded


def _guard(task: dsl.ContainerOp, *, minutes: int, retries: int) -> dsl.ContainerOp:
    task.set_retry(retries, backoff_duration="10s", backoff_factor=2.0)
    task.set_timeout(minutes * MINUTE)
    return task


@dsl.pipeline(
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
    force_takeover: str = "",
    launcher_url: str = "",
) -> None:
    end = _load("finalize")(
        release_id=release_id, service=service, serving=serving, namespace=namespace
    )
    _guard(end, minutes=10, retries=5)
    with dsl.ExitHandler(end):
        bento = _load("retrieve")(name=name, version=version, store=store, contexts=contexts)
        _guard(bento, minutes=10, retries=3)
        image = _load("build")(context=bento.outputs["context"], repository=repository, kind=kind)
        _guard(image, minutes=15, retries=2)
        trial = _load("canary")(
            release_id=release_id,
            service=service,
            image=image.outputs["image"],
            version=bento.outputs["version"],
            percent=percent,
            policy=policy,
            serving=serving,
            prometheus_url=prometheus_url,
            namespace=namespace,
            force_takeover=force_takeover,
        )
        _guard(trial, minutes=10, retries=2)
        judge = _load("gate")(
            release_id=release_id,
            service=service,
            canary=trial.outputs["canary"],
            stable=trial.outputs["stable"],
            since=trial.outputs["since"],
            policy=policy,
            prometheus_url=prometheus_url,
            namespace=namespace,
            serving=serving,
            launcher_url=launcher_url,
        )
        _guard(judge, minutes=24 * 60, retries=2)
        with dsl.Condition(judge.outputs["verdict"] == "promote"):
            _guard(
                _load("promote")(
                    release_id=release_id, service=service, serving=serving, namespace=namespace
                ),
                minutes=10,
                retries=5,
            )
        with dsl.Condition(judge.outputs["verdict"] != "promote"):
            _guard(
                _load("rollback")(
                    release_id=release_id,
                    service=service,
                    reason=judge.outputs["reason"],
                    serving=serving,
                    namespace=namespace,
                ),
                minutes=10,
                retries=5,
            )
