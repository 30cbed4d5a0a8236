"""Artifacts with content and metadata, between tasks and out of the run; importers."""

# ruff: noqa: ANN201
# mypy: ignore-errors

from cases import case
from kfp import dsl


@dsl.component(install_kfp_package=False)
def write(text: str, data: dsl.Output[dsl.Dataset], model: dsl.Output[dsl.Model]):
    with open(data.path, "w") as file:  # noqa: PTH123
        file.write(text)
    data.metadata["length"] = str(len(text))
    model.metadata["odd"] = {"{{x}}": ["1", None, "é"]}
    model.framework = "none"


@dsl.component(install_kfp_package=False)
def read(data: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model]) -> str:
    with open(data.path) as file:  # noqa: PTH123
        return f"{file.read()!r} {type(model).__name__} {data.metadata} {model.metadata['odd']}"


@dsl.component(install_kfp_package=False)
def about(data: dsl.Input[dsl.Dataset]) -> str:
    return f"{data.uri} {data.metadata} {type(data).__name__}"


@dsl.component(install_kfp_package=False)
def about_length(data: dsl.Input[dsl.Dataset]) -> str:
    return data.metadata["length"]


@dsl.component(install_kfp_package=False)
def measure(metrics: dsl.Output[dsl.Metrics]):
    metrics.log_metric("loss", 0.25)


@dsl.pipeline
def inner(text: str) -> dsl.Dataset:
    return write(text=text).outputs["data"]


@case({"text": "a\n{{é}}"})
def between_tasks(text: str) -> str:
    made = write(text=text)
    return read(data=made.outputs["data"], model=made.outputs["model"]).output


@case()
def out_of_the_run() -> dsl.Metrics:
    return measure().output


@case()
def out_of_a_sub_pipeline():
    about_length(data=inner(text="four").output)


@case({"uri": "/tmp/none/é"})
def importers(uri: str):
    taken = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"a": "b {{c}}"})
    about(data=taken.output)
    fixed = dsl.importer(artifact_uri="/data", artifact_class=dsl.Dataset)
    about(data=fixed.output)
