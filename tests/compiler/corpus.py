"""Small pipelines, each for one feature. ``python corpus.py FOLDER`` compiles every one with kfp.

No ``from __future__ import annotations`` here: kfp reads the annotations as types.
"""

# ruff: noqa: ANN201, B006, PLR0917, PTH123, UP006, UP014, UP035, UP045
# mypy: ignore-errors

import operator
import sys
import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from kfp import compiler, dsl, kubernetes

PIPELINES: dict[str, Any] = {}
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def corpus(function: Any) -> Any:
    made = dsl.pipeline(function)
    PIPELINES[function.__name__] = made
    return made


@dsl.container_component
def say(
    text: str, out: dsl.OutputPath(str), count: int = 3, ratio: float = 0.05, loud: bool = True
):
    return dsl.ContainerSpec(
        image="registry.example.com/say:1",
        command=["say", "--text", text],
        args=["--count", count, "--ratio", ratio, "--loud", loud, "--out", out],
    )


@dsl.container_component
def echo(text: str = "nothing"):
    return dsl.ContainerSpec(image="registry.example.com/say:1", command=["echo", text])


@dsl.container_component
def count_up(count: int, total: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image="registry.example.com/say:1", command=["count", count, total])


@dsl.container_component
def list_up(items: dsl.OutputPath(list)):
    return dsl.ContainerSpec(image="registry.example.com/say:1", command=["list", items])


@dsl.container_component
def eat(items: list):
    return dsl.ContainerSpec(image="registry.example.com/say:1", command=["eat", items])


@dsl.container_component
def tick():
    return dsl.ContainerSpec(image="registry.example.com/tick:1", command=["tick"])


@dsl.container_component
def status_reader(status: dsl.PipelineTaskFinalStatus):
    return dsl.ContainerSpec(image="i", command=["c", status])


@dsl.container_component
def listed(
    items: list[str],
    made: dsl.OutputPath(list),
    said: dsl.OutputPath(dict),
    options: dict = {"b": 1, "a": ["<x>", 0.5, True]},
):
    return dsl.ContainerSpec(image="i", command=["c", items, options], args=[made, said])


@dsl.container_component
def structured(
    text: str,
    out: dsl.OutputPath(str),
    extra: Optional[str] = None,
    count: Optional[int] = None,
    ready: str = "default",
):
    concat, if_present = dsl.ConcatPlaceholder, dsl.IfPresentPlaceholder
    return dsl.ContainerSpec(
        image="i",
        command=["c", concat(["--x=", text, "/", concat([text, "!"])])],
        args=[
            if_present("extra", then=["--extra", extra], else_=["--none"]),
            if_present("count", then=concat(["--count=", count])),
            if_present("ready", then=["--ready", concat(["<", ready, ">"])]),
            concat(["a", if_present("extra", then=extra, else_="nothing"), "z"]),
            if_present("extra", then=[if_present("count", then=["both", count]), "{ }"]),
            concat(["", out]),
        ],
    )


@dsl.container_component
def careless(text: Optional[str] = None):
    return dsl.ContainerSpec(image="i", command=["c", text])


@dsl.component(base_image="python:3.11")
def produce(
    text: str,
    items: list,
    options: Dict[str, float],
    count: int,
    ratio: float,
    flag: bool,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    lines: dsl.OutputPath(str),
    extra: Optional[str] = None,
) -> NamedTuple("Outputs", [("echo", str), ("total", int), ("all", dict), ("seen", list)]):
    with open(model.path, "w") as file:
        file.write(text)
    model.metadata["accuracy"] = 0.5
    model.metadata["odd"] = "{{=1}} $(date) é"
    metrics.log_metric("loss", 0.25)
    with open(lines, "w") as file:
        file.write(f"{text}\n{{}}\n")
    outputs = NamedTuple("Outputs", [("echo", str), ("total", int), ("all", dict), ("seen", list)])
    seen = [count, ratio, flag, extra, items]
    return outputs(text, count + len(items), {"options": options}, seen)


@dsl.component(base_image="python:3.11")
def consume(
    model: dsl.Input[dsl.Model],
    data: dsl.InputPath("Dataset"),
    lines: str,
    total: int,
    absent: Optional[dsl.Input[dsl.Dataset]] = None,
) -> str:
    with open(model.path) as file, open(data) as other:
        found = [file.read(), other.read(), lines, str(total), str(absent)]
    return "|".join([*found, type(model).__name__, str(sorted(model.metadata.items()))])


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def returned(text: str = "data") -> dsl.Dataset:
    return text


@dsl.component(base_image="python:3.11")
def imported_metadata(model: dsl.Input[dsl.Model]) -> str:
    return f"{model.uri} {model.metadata['k']}"


@dsl.container_component
def native(model: dsl.Input[dsl.Model], data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image="i", command=["c", "--uri", model.uri, data.path])


@dsl.container_component
def trained(data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image="i", command=["train", data.path])


@dsl.container_component
def reader(data: dsl.Input[dsl.Dataset]):
    return dsl.ContainerSpec(image="i", command=["read", data.path])


@dsl.container_component
def drawn(page: dsl.Output[dsl.HTML]):
    return dsl.ContainerSpec(image="i", command=["draw", page.path])


@dsl.pipeline
def inner(text: str = "default") -> str:
    one = say(text=text)
    two = say(text=one.outputs["out"])
    return two.outputs["out"]


@dsl.pipeline
def guarded(mode: str):
    tick()
    with dsl.If(mode == "x"):
        tick()


@corpus
def chain(text: str, count: int = 10):
    first = say(text=text, count=count)
    second = say(text=first.outputs["out"], ratio=1.0, loud=False)
    tick().after(second)


@corpus
def branches(mode: str, other: str = "b"):
    first = say(text="x")
    with dsl.If(mode == "fast"):
        a = say(text="fast").set_display_name("shown")
        tick().after(a)
        with dsl.If(first.outputs["out"] != "no"):
            say(text="nested")
    with dsl.Elif(mode == "slow"):
        say(text="slow")
    with dsl.Else():
        say(text="else")
        with dsl.If(mode == other):
            say(text="same")


@corpus
def settings(text: str = 'it\'s an "odd" {value}'):
    task = say(text="$HOME $$ $(date) it's\n\ttwo lines ").set_retry(
        3, backoff_duration="5s", backoff_factor=3.0, backoff_max_duration="20s"
    )
    task.set_env_variable("ODD", "a=$b 'c'\n").set_cpu_limit("2").set_memory_request("64Mi")
    kubernetes.set_timeout(task, 90)
    task.set_caching_options(False)


@corpus
def nested(mode: str = "on"):
    first = inner(text="a")
    second = inner(text=first.output)
    tick().after(second)
    with dsl.If(mode == "on"):
        inner(text=mode)


@corpus
def ended(text: str = "x"):
    with dsl.ExitHandler(say(text=text)):
        tick()


@dsl.container_component
def measure(
    count: dsl.OutputPath(int),
    ratio: dsl.OutputPath(float),
    flag: dsl.OutputPath(bool),
    word: dsl.OutputPath(str),
):
    return dsl.ContainerSpec(image="i", command=["measure", count, ratio, flag, word])


@corpus
def operators(count: int, ratio: float, flag: bool, word: str):
    out = measure().outputs
    for left, right in (
        (count, 5),
        (count, -3),
        (count, 2.5),
        (count, ratio),
        (count, out["count"]),
        (ratio, 0.5),
        (ratio, 2),
        (ratio, 1e22),
        (out["ratio"], ratio),
        (flag, True),
        (out["flag"], flag),
        (word, "b"),
        (word, 5),
        (word, out["word"]),
    ):
        for compare in COMPARISONS:
            with dsl.If(compare(left, right)):
                tick()


@dsl.pipeline
def inside(text: str, extra: Optional[str] = None):
    structured(text=text, extra=extra)


@corpus
def structures(text: str = "it's"):
    one = structured(text="$HOME \"it's\" {'a': [1]} \\u00e9 ☃\tx\ny")
    structured(text=one.outputs["out"], extra="x y", count=7)
    structured(text='{"Concat": ["a"]} $(date) }}', extra=one.outputs["out"], ready="")
    inside(text=text)
    inside(text=text, extra=text)


@corpus
def otherwise(ratio: float, count: int = 3):
    with dsl.If(ratio < 0.5):
        say(text="less")
    with dsl.Elif(count >= 4):
        say(text="more")
    with dsl.Else():
        say(text="else")


@corpus
def equalities(count: int, flag: bool = True):
    """What Tekton can say of numbers and booleans."""
    out = measure()
    with dsl.If(count == 5):
        say(text="five")
    with dsl.Elif(out.outputs["count"] != 7):
        say(text="not seven")
    with dsl.Elif(flag == True):  # noqa: E712
        say(text="flag")
    with dsl.Elif(out.outputs["flag"] != True):  # noqa: E712
        say(text="not out")
    with dsl.Else():
        say(text="else")


@corpus
def lists(items: list = ["é", "it's", 'a "b"'], options: dict = {"k": {"n": 1e21, "m": -2}}):
    first = listed(items=items, options=options)
    listed(items=first.outputs["made"], options=first.outputs["said"])
    listed(items=["$HOME", "x\ny", "&"])
    listed(items=[], options={})


@corpus
def pipeline_output(text: str = "x") -> NamedTuple("Outputs", [("said", str), ("made", list)]):
    outputs = NamedTuple("Outputs", [("said", str), ("made", list)])
    return outputs(inner(text=text).output, listed(items=["a"]).outputs["made"])


@dsl.container_component
def counted(count: int = 3, word: str = "none"):
    return dsl.ContainerSpec(image="i", command=["c", count, word])


@corpus
def optional(count: Optional[int] = None, word: Optional[str] = None):
    counted(count=count, word=word)
    counted(word=word)


@corpus
def optional_in_texts(mode: Optional[str] = None, word: Optional[str] = None):
    say(text=f"say {mode}")
    counted(word=mode)
    counted(word=word)
    with dsl.If(mode == "x"):
        tick()


@corpus
def functions(
    text: str = 'it\'s "x" {y}', items: list = ["é", 1], extra: Optional[str] = None
) -> NamedTuple("Outputs", [("said", str), ("metrics", dsl.Metrics)]):
    made = produce(
        text=f"<{text}>",
        items=items,
        options={"b": 1, "a": 0.5},
        count=3,
        ratio=0.25,
        flag=True,
        extra=extra,
    )
    used = consume(
        model=made.outputs["model"],
        data=returned().output,
        lines=made.outputs["lines"],
        total=made.outputs["total"],
    )
    outputs = NamedTuple("Outputs", [("said", str), ("metrics", dsl.Metrics)])
    return outputs(used.output, made.outputs["metrics"])


@corpus
def fstrings(text: str = "x", count: int = 3):
    first = say(text=f"pre-{text}-{count}$HOME")
    say(text=f"{first.outputs['out']}{text}").set_display_name("second")
    inner(text=f"in {text}")


@corpus
def facts():
    say(text=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    say(text=f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER}/{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}")


@dsl.pipeline
def artifacts_inside(model: dsl.Input[dsl.Model]) -> dsl.Dataset:
    return native(model=model).outputs["data"]


@corpus
def artifacts(bucket: str = "s3://models"):
    outside = dsl.importer(
        artifact_uri="gs://other/m", artifact_class=dsl.Model, metadata={"k": "{{x}} $(v) é"}
    )
    imported_metadata(model=outside.output)
    dataset = artifacts_inside(
        model=dsl.importer(artifact_uri=bucket, artifact_class=dsl.Model).output
    )
    consume(model=outside.output, data=dataset.output, lines="", total=1)
    reader(data=trained().output)


@corpus
def artifacts_run(bucket: str = "s3://models") -> NamedTuple("Outputs", [("said", str)]):
    outside = dsl.importer(
        artifact_uri=bucket, artifact_class=dsl.Model, metadata={"k": "{{x}} $(v) é"}
    )
    outputs = NamedTuple("Outputs", [("said", str)])
    return outputs(imported_metadata(model=outside.output).output)


@corpus
def pods():
    task = tick().set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(2)
    kubernetes.use_secret_as_env(task, "db", {"password": "PASSWORD"}, optional=True)
    kubernetes.use_config_map_as_env(task, "settings", {"level": "LEVEL"})
    kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
    kubernetes.use_secret_as_volume(task, "db", "/secrets", optional=True)
    kubernetes.use_config_map_as_volume(task, "settings", "/settings")
    kubernetes.mount_pvc(task, "claim", "/data", sub_path="a")
    kubernetes.mount_pvc(task, "claim", "/more")
    kubernetes.empty_dir_mount(task, "scratch", "/scratch", medium="Memory", size_limit="1Gi")
    kubernetes.add_pod_label(task, "team", "ml")
    kubernetes.add_pod_annotation(task, "note", 'it\'s "odd"')
    kubernetes.set_image_pull_policy(task, "Always")
    kubernetes.set_security_context(task, run_as_user=1000, run_as_group=3, run_as_non_root=True)


@corpus
def placed():
    task = tick()
    kubernetes.add_node_selector(task, "disk", "ssd")
    kubernetes.add_toleration(
        task, key="gpu", operator="Equal", value="yes", effect="NoExecute", toleration_seconds=10
    )
    kubernetes.set_image_pull_secrets(task, ["registry"])


# Below: what this version refuses.


@corpus
def no_int_as_text(count: int = 3):
    with dsl.If(count == "5"):
        tick()


@corpus
def no_infinity(ratio: float = 1.0):
    with dsl.If(ratio < float("inf")):
        tick()


@corpus
def loop(prefix: str = "p"):
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as number:
        counted = count_up(count=number)
        with dsl.If(counted.outputs["total"] == 2):
            say(text=prefix, count=number)
    eat(items=dsl.Collected(counted.outputs["total"]))


@corpus
def loop_of_dicts(mode: str = "x"):
    first = say(text="first")
    with dsl.ParallelFor([{"a": "1", "b": "x"}, {"a": "2", "b": "its"}]) as item:
        one = say(text=item.a)
        say(text=item.b).after(one)
        say(text=first.outputs["out"])
    with dsl.If(mode == "x"), dsl.ParallelFor(["u", "v"]) as outer:
        two = say(text=outer)
        with dsl.If(two.outputs["out"] == "yes"), dsl.ParallelFor(["w", "x"]) as inner:
            say(text=inner, loud=False)
            say(text=two.outputs["out"])
            say(text=first.outputs["out"])


@corpus
def loop_over_outputs(names: list = ["n"], mode: str = "x"):
    found = list_up()
    with dsl.ParallelFor(found.outputs["items"]) as item:
        each = say(text=item)
        with dsl.ParallelFor(names, parallelism=1) as name:
            inner = say(text=name)
            with dsl.If(mode == item):
                say(text=each.outputs["out"])
    eat(items=dsl.Collected(each.outputs["out"]))
    eat(items=dsl.Collected(inner.outputs["out"]))
    tick().after(each)


@corpus
def loop_over_item(groups: list):
    with dsl.ParallelFor(groups) as group, dsl.ParallelFor(group.names) as name:
        say(text=name)


@corpus
def loop_limited():
    with dsl.ParallelFor([5, 7], parallelism=1) as number:
        counted = count_up(count=number)
    eat(items=dsl.Collected(counted.outputs["total"]))


@corpus
def loop_of_texts():
    with dsl.ParallelFor(["a", "b"]) as item:
        said = say(text=item)
    eat(items=dsl.Collected(said.outputs["out"]))


@corpus
def loop_with_choice(mode: str = "x"):
    with dsl.If(mode == "x"):
        one = say(text="1")
    with dsl.Else():
        two = say(text="2")
    chosen = dsl.OneOf(one.outputs["out"], two.outputs["out"])
    with dsl.ParallelFor(["a", "b"]) as item:
        say(text=chosen)
        with dsl.If(item == "a"):
            tick()


@corpus
def oneof(mode: str = "x"):
    measured = say(text="measured")
    with dsl.If(mode == "x"):
        one = say(text="1")
    with dsl.Elif(measured.outputs["out"] == "yes"):
        two = say(text="2")
    with dsl.Else():
        three = say(text="3")
    chosen = dsl.OneOf(one.outputs["out"], two.outputs["out"], three.outputs["out"])
    taker = say(text=chosen)
    say(text=taker.outputs["out"])
    tick().after(taker)
    with dsl.If(chosen == "yes"):
        tick()


@dsl.pipeline
def written(text: str, mode: str = "x") -> str:
    with dsl.If(mode == "x"):
        one = say(text=f"<{text}>")
    with dsl.Else():
        two = say(text="2")
    return dsl.OneOf(one.outputs["out"], two.outputs["out"])


@corpus
def fstrings_of_values(mode: str = "x"):
    first = say(text="first")
    with dsl.ParallelFor(["u", "v"]) as item:
        each = say(text=f"{item}-{first.outputs['out']}-{mode}")
        within = written(text=f"in {item}", mode=mode)
        say(text=f"{within.output}/{each.outputs['out']}")
    without = written(text=f"out {mode}", mode=mode)
    last = say(text=f"{without.output}!")
    say(text=f"{last.outputs['out']}?")


@dsl.component(base_image="python:3.11")
def read_back(data: dsl.Input[dsl.Dataset]) -> str:
    return data.name


@corpus
def oneof_artifacts(mode: str = "x") -> dsl.Dataset:
    with dsl.If(mode == "x"):
        one = returned(text="one")
    with dsl.Else():
        two = returned(text="two")
    chosen = dsl.OneOf(one.output, two.output)
    read_back(data=chosen)
    return chosen


@dsl.container_component
def refined(data: dsl.Input[dsl.Dataset], text: str, made: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image="i", command=["refine", data.path, text, made.path])


@corpus
def loop_of_artifacts(mode: str = "x"):
    first = trained()
    told = returned()
    with dsl.If(mode == "x"):
        one = trained()
    with dsl.Else():
        two = trained()
    chosen = dsl.OneOf(one.output, two.output)
    with dsl.ParallelFor(["a", "b"], parallelism=1) as item:
        mine = refined(data=first.output, text=item)
        reader(data=mine.outputs["made"])
        with dsl.ParallelFor([1, 2]):
            deep = refined(data=mine.outputs["made"], text=item)
            reader(data=deep.outputs["made"])
            reader(data=chosen)
            read_back(data=told.output)


@dsl.pipeline
def gathering() -> List[int]:
    with dsl.ParallelFor([1, 2]) as item:
        one = count_up(count=item)
    return dsl.Collected(one.outputs["total"])


@corpus
def no_oneof_gathered(mode: str = "x"):
    with dsl.If(mode == "x"):
        one = gathering()
    with dsl.Else():
        two = gathering()
    eat(items=dsl.OneOf(one.output, two.output))


@corpus
def no_late_limit(cores: str = "1"):
    say(text="a").set_cpu_limit(cores)


@corpus
def no_lost_item():
    with dsl.ParallelFor(["u"]) as one, dsl.ParallelFor(["v"]) as two:
        say(text=f"{one}{two}")


@corpus
def no_quote(mode: str = "x"):
    with dsl.If(mode == "it's"):
        tick()


@corpus
def no_backslash(mode: str = "x"):
    with dsl.If(mode == "a\\n"):
        tick()


@corpus
def final_status():
    with dsl.ExitHandler(status_reader()):
        tick()


@corpus
def final_status_of_a_part():
    with dsl.ExitHandler(status_reader()):
        tick()
        with dsl.ParallelFor(["a"]) as item:
            say(text=item)
    alone = tick()
    status_reader().after(alone).ignore_upstream_failure()


@corpus
def oneof_output(mode: str = "x") -> str:
    with dsl.If(mode == "x"):
        one = say(text="1")
    with dsl.Else():
        two = say(text="2")
    return dsl.OneOf(one.outputs["out"], two.outputs["out"])


@corpus
def partial_exit(mode: str = "x"):
    with dsl.ExitHandler(say(text="end of the first")) as first:
        tick()
        with dsl.If(mode == "x"):
            inside = say(text="inside")
            say(text=inside.outputs["out"])
    with dsl.ExitHandler(tick()):
        say(text="second")
    tick().after(first)
    say(text="beside")


@corpus
def ignored_failure():
    first = tick()
    tick().after(first).ignore_upstream_failure()


@corpus
def ignored_in_the_middle():
    first = say(text="first")
    second = echo(text=first.outputs["out"]).ignore_upstream_failure()
    tick().after(second)


@corpus
def no_absent_value():
    careless()


@corpus
def no_late_secret(name: str = "s"):
    kubernetes.use_secret_as_env(tick(), name, {"k": "V"})


@dsl.component(base_image="python:3.11")
def readers(data: List[dsl.Dataset]):
    print(len(data))


@corpus
def no_artifact_list():
    with dsl.ParallelFor(["a", "b"]) as item:
        made = returned(text=item)
    readers(data=dsl.Collected(made.output))


@corpus
def no_affinity():
    term = {"key": "a", "operator": "In", "values": ["x"]}
    kubernetes.add_node_affinity(tick(), match_expressions=[term])


@corpus
def after_branches(mode: str = "x"):
    inside = guarded(mode=mode)
    tick().after(inside)


@corpus
def no_uncertain(text: Optional[str] = None):
    inside(text="x", extra=text)


@corpus
def no_remote_path():
    reader(data=dsl.importer(artifact_uri="s3://x", artifact_class=dsl.Dataset).output)


@corpus
def no_create_time():
    say(text=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER)


@corpus
def pages():
    drawn()


def main(folder: Path, *names: str) -> None:
    chosen = {name: PIPELINES[name] for name in names or PIPELINES}
    for name, pipeline in chosen.items():
        compiler.Compiler().compile(pipeline, str(folder / f"{name}.yaml"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), *sys.argv[2:])
