"""Release one version of a bento into one service: canary, gate, then promote or roll back.

Wiring only. What each task does stands in its component; how long it may take and how often it is
tried again stands here. (Annotations must stay real types here: kfp reads them when it compiles.)
"""

from kfp import dsl

from parts import Builder, finalize, guard, promote, rollback
from trial import put_on_trial

__all__ = ["release", "release_with"]


def release_with(builder: Builder | None = None) -> dsl.graph_component.GraphComponent:
    """Wire the pipeline with a builder; without one the build step's own default builds."""

    @dsl.pipeline(  # type: ignore[untyped-decorator]
        name=f"release-{builder.name}" if builder else "release",
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
        """Release one bento version into one service.

        Args:
            release_id: The release; the same id is the same release.
            service: The service that users call.
            name: The bento's name.
            version: The bento's version; empty means the newest.
            percent: The canary's share of the traffic, 1 to 99.
            policy: The gate's policy; empty means the default policy.
            store: Where bentos come from; empty means the engine's own.
            contexts: Where build contexts go, for example s3://bucket/prefix; empty means the
                engine's own.
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
                builder=builder,
            )
            judged = trial.judged(trial.task.outputs["since"])
            with dsl.If(judged.outputs["verdict"] == "promote"):
                guard(promote(**owned), minutes=10, retries=5)
            with dsl.Else():
                guard(rollback(reason=judged.outputs["reason"], **owned), minutes=10, retries=5)

    return release


release = release_with()
