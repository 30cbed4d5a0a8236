"""Sub-pipelines, exit tasks, and what runs after a failure."""

# ruff: noqa: ANN201
# mypy: ignore-errors

from branches import say
from cases import case
from kfp import dsl


@dsl.component(install_kfp_package=False)
def fail(text: str) -> str:
    raise ValueError(text)


@dsl.component(install_kfp_package=False)
def ended(status: dsl.PipelineTaskFinalStatus) -> str:
    return status.state


@dsl.pipeline
def deep(text: str = "deep") -> str:
    return say(text=text).output


@dsl.pipeline
def middle(text: str) -> str:
    first = deep(text=text)
    deep()
    return deep(text=first.output).output


@case({"text": "a"})
def sub_pipelines(text: str) -> str:
    return say(text=middle(text=text).output).output


@case()
def order():
    first = say(text="first")
    say(text="second").after(first)


@case()
def exit_task():
    with dsl.ExitHandler(say(text="end")):
        say(text="part")


@case()
def exit_task_after_a_failure():
    with dsl.ExitHandler(say(text="end")):
        say(text=fail(text="on purpose").output)


@case()
def exit_task_with_the_status():
    with dsl.ExitHandler(ended()):
        say(text="part")


@case()
def exit_task_with_the_status_of_a_failure():
    with dsl.ExitHandler(ended()):
        fail(text="on purpose")


@case()
def failure():
    say(text=fail(text="on purpose").output)


@case()
def ignored_failure():
    say(text="after all").after(fail(text="on purpose")).ignore_upstream_failure()
