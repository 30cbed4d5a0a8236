"""What the pipelines are made of: the components, and the limits of their tasks."""

from pathlib import Path
from typing import NamedTuple

from kfp import components, dsl
from kfp.kubernetes import set_security_context, set_timeout

__all__ = [
    "Builder",
    "build",
    "built_by",
    "canary",
    "finalize",
    "gate",
    "guard",
    "promote",
    "retrieve",
    "rollback",
    "traffic",
]

COMPONENTS = Path(__file__).parent.parent / "components"
MINUTE = 60


def _load(name: str) -> components.YamlComponent:
    return components.load_component_from_file(str(COMPONENTS / name / "component.yaml"))


retrieve = _load("retrieve")
build = _load("build")
canary = _load("canary")
gate = _load("gate")
traffic = _load("traffic")
promote = _load("promote")
rollback = _load("rollback")
finalize = _load("finalize")


def guard(task: dsl.PipelineTask, *, minutes: int, retries: int) -> dsl.PipelineTask:
    """Limit every try, try again after 10, 20, 40 ... seconds, and never take a cached result."""
    task.set_caching_options(enable_caching=False)
    task.set_retry(retries, backoff_duration="10s", backoff_factor=2.0)
    set_timeout(task, minutes * MINUTE)
    return task


class Builder(NamedTuple):
    """What makes the image, where it is not the layered builder.

    Attributes:
        name: As the build step knows it.
        image: What has it, and coalmine.
        user: Whom it runs as.
    """

    name: str
    image: str
    user: int


def built_by(builder: Builder | None, task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Run a build task in the builder's image, with no more rights than it needs."""
    if builder is None:
        return task
    task.set_container_image(builder.image)
    return set_security_context(
        task,
        run_as_user=builder.user,
        run_as_group=builder.user,
        run_as_non_root=builder.user != 0,
    )
