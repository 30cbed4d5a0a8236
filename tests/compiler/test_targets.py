from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.compiler import argo, tekton
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.pages import without_pages
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.podcheck import problem
from coalmine.compiler.podspec import (
    EnvSource,
    Pod,
    Toleration,
    Volume,
    mounts_of,
    volumes_of,
)
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef

ROOT = Path(__file__).parent.parent.parent
RELEASE = ROOT / "compiled" / "kfp" / "release.yaml"
Run = Callable[[Any, Mapping[str, str], Mapping[tuple[str, str], str]], dict[str, Any]]
SUPPORTED = [
    "chain",
    "branches",
    "settings",
    "nested",
    "ended",
    "structures",
    "lists",
    "pipeline_output",
    "optional",
    "fstrings",
    "facts",
]
ODD = "say \"hi\" and 'bye' `id` \\n \n- x: 1 # é ☃ \t } ]] $HOME %s"
FIXTURES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def same(run_graph: Run, run_tekton: Run, run_argo: Run) -> Callable[..., list[str]]:
    """Run a graph and both its manifests; all must run the same commands. Gives their names."""

    def compare(
        graph: Graph,
        parameters: Mapping[str, str],
        outputs: Mapping[tuple[str, str], str] | None = None,
    ) -> list[str]:
        wanted = run_graph(graph, parameters, outputs or {})
        assert run_tekton(tekton.lower(graph), parameters, outputs or {}) == wanted
        assert run_argo(argo.lower(graph), parameters, outputs or {}) == wanted
        return list(wanted)

    return compare


@pytest.mark.parametrize(
    ("verdict", "last"),
    [
        ("promote", "promote"),
        ("rollback", "rollback"),
        ("inconclusive", "rollback"),
        ("promote\n", "rollback"),
        ("", "rollback"),
        ("' == '' || 'a' == 'a", "rollback"),
    ],
)
def test_one_branch_of_the_release_runs(
    same: Callable[..., list[str]], verdict: str, last: str
) -> None:
    parameters = {"release_id": "r1", "service": "iris", "name": ODD, "policy": ODD}
    graph = without_pages(read_graph(RELEASE))
    names = same(graph, parameters, {("gate", "verdict"): verdict})
    assert names == ["retrieve", "build", "canary", "gate", last, "finalize"]


@pytest.mark.parametrize(
    ("mode", "said", "expected"),
    [
        ("fast", "yes", {"say", "say-2", "say-3", "tick"}),
        ("fast", "no", {"say", "say-2", "tick"}),
        ("slow", "yes", {"say", "say-4"}),
        ("other", "yes", {"say", "say-5"}),
        ("b", "yes", {"say", "say-5", "say-6"}),
    ],
)
def test_branches(
    same: Callable[..., list[str]], corpus: Path, mode: str, said: str, expected: set[str]
) -> None:
    graph = read_graph(corpus / "branches.yaml")
    assert set(same(graph, {"mode": mode}, {("say", "out"): said})) == expected


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_corpus_runs_the_same_everywhere(
    same: Callable[..., list[str]], corpus: Path, name: str
) -> None:
    assert same(read_graph(corpus / f"{name}.yaml"), {"text": ODD, "mode": "on"})


@pytest.mark.parametrize("name", [*SUPPORTED, "loop_of_artifacts"])
@pytest.mark.parametrize("target", [tekton, argo])
def test_manifests_hold_against_the_schemas(
    check_manifest: Callable[[str], int], corpus: Path, name: str, target: Any
) -> None:
    check_manifest(target.lower(read_graph(corpus / f"{name}.yaml")).to_yaml())


@pytest.mark.parametrize("target", [tekton, argo])
def test_no_default_is_made_for_what_a_condition_asks(corpus: Path, target: Any) -> None:
    manifest = target.lower(read_graph(corpus / "optional_in_texts.yaml"))
    spec = manifest.document["spec"]
    mode, word = spec["params"] if "params" in spec else spec["arguments"]["parameters"]
    assert not {"default", "value"} & mode.keys()
    assert {"default", "value"} & word.keys()
    (note,) = [note for note in manifest.notes if "optional" in note]
    assert note.endswith("give mode.")


def test_a_display_name_is_shown_and_names_nothing(corpus: Path) -> None:
    graph = read_graph(corpus / "fstrings.yaml")
    assert {task.name: task.title for task in graph.tasks if task.title} == {"say-2": "second"}
    tasks = tekton.lower(graph).document["spec"]["tasks"]
    shown = {task["name"]: task["displayName"] for task in tasks if "displayName" in task}
    assert shown == {"say-2": "second"}
    templates = argo.lower(graph).document["spec"]["templates"]
    assert {one["name"]: one["annotations"] for one in templates if "annotations" in one} == {
        "say-2": {"workflows.argoproj.io/display-name": "second"}
    }
    first = replace(graph.tasks[0], title="{{x}} $(params.y)")
    for target in (argo, tekton):
        with pytest.raises(InputError, match="display name"):
            target.lower(replace(graph, tasks=(first, *graph.tasks[1:])))


def test_what_the_whole_gives_is_said(corpus: Path) -> None:
    graph = read_graph(corpus / "pipeline_output.yaml")
    assert tekton.lower(graph).document["spec"]["results"] == [
        {"name": "made", "type": "string", "value": "$(tasks.listed.results.made)"},
        {"name": "said", "type": "string", "value": "$(tasks.inner-say-2.results.out)"},
    ]
    entry = argo.lower(graph).document["spec"]["templates"][0]
    said = [item["valueFrom"]["parameter"] for item in entry["outputs"]["parameters"]]
    assert said == [
        "{{tasks.listed.outputs.parameters.made}}",
        "{{tasks.inner-say-2.outputs.parameters.out}}",
    ]


def test_an_optional_parameter_takes_the_default_behind_it(
    same: Callable[..., list[str]], corpus: Path
) -> None:
    graph = read_graph(corpus / "optional.yaml")
    same(graph, {"count": "5"})
    assert [item["default"] for item in tekton.lower(graph).document["spec"]["params"]] == [
        "3",
        "none",
    ]


@pytest.mark.parametrize("lower", [tekton.lower, argo.lower])
def test_two_defaults_behind_one_parameter_are_refused(lower: Callable[[Graph], Manifest]) -> None:
    tasks = tuple(
        task(name, inputs=(Parameter("x"),), arguments=(("x", ParameterRef("p", otherwise=name)),))
        for name in ("a", "b")
    )
    with pytest.raises(InputError, match=r"task 'b', parameter 'p'.*both 'a' and 'b'"):
        lower(Graph("g", (Parameter("p", optional=True),), tasks))


def task(name: str, **fields: Any) -> Task:
    return Task(name=name, component=name, image="i", **fields)


texts = st.text(
    st.sampled_from("$(){}'\"\\ \n\tabparms.=é☃:#-") | st.characters(exclude_categories=["Cs"]),
    max_size=12,
)


def lowered(lower: Callable[[Graph], Manifest], graph: Graph) -> Manifest | None:
    try:
        return lower(graph)
    except InputError:
        return None


@FIXTURES
@given(constant=texts, before=texts, after=texts, env=texts)
def test_a_literal_arrives_to_the_byte_or_is_refused(  # noqa: PLR0917 - fixtures and values
    run_graph: Run, run_tekton: Run, run_argo: Run, constant: str, before: str, after: str, env: str
) -> None:
    made = task(
        "t",
        command=(("c",), (before,), (before, InputRef("x"), after), (OutputPath("o"), "end")),
        inputs=(Parameter("x"), Parameter("d", default=after)),
        arguments=(("x", Constant(constant)),),
        outputs=(Parameter("o"),),
        env=(("E", env),),
    )
    graph = Graph("g", (), (made,))
    wanted = run_graph(graph, {}, {})
    for lower, run in ((tekton.lower, run_tekton), (argo.lower, run_argo)):
        manifest = lowered(lower, graph)
        assert manifest is None or run(manifest, {}, {}) == wanted


@pytest.mark.parametrize("lower", [tekton.lower, argo.lower])
@pytest.mark.parametrize("text", ["$HOME", "$$", "$(date)", "a$", "}} {", "it's", "y", "1e3", "\n"])
def test_common_literals_are_not_refused(lower: Callable[[Graph], Manifest], text: str) -> None:
    lower(Graph("g", (), (task("t", args=((text,),)),)))


@pytest.mark.parametrize(
    ("lower", "text", "target"),
    [
        (tekton.lower, "$(params.x)", "tekton"),
        (tekton.lower, "$$(tasks.a.results.b)", "tekton"),
        (tekton.lower, "$(context.taskRun.name)", "tekton"),
        (argo.lower, "{{workflow.name}}", "argo"),
        (argo.lower, "{{=1+1}}", "argo"),
    ],
)
def test_what_the_engine_would_replace_is_refused(
    lower: Callable[[Graph], Manifest], text: str, target: str
) -> None:
    plain = task("t", args=((text,),))
    constant = task("t", inputs=(Parameter("x"),), arguments=(("x", Constant(text)),))
    variable = task("t", env=(("E", text),))
    compared = task("t", when=(Comparison(ParameterRef("p"), Operator.EQUAL, Constant(text)),))
    for made in (plain, constant, variable, compared):
        with pytest.raises(InputError, match=f"task 't'.*target {target}"):
            lower(Graph("g", (Parameter("p"),), (made,)))
    with pytest.raises(InputError, match=f"parameter 'p', target {target}"):
        lower(Graph("g", (Parameter("p", default=text),), (plain,)))


def test_a_brace_before_a_value_is_refused_for_argo() -> None:
    made = task("t", args=(("{", InputRef("x"), "}"),), inputs=(Parameter("x", default="1"),))
    with pytest.raises(InputError, match="target argo"):
        argo.lower(Graph("g", (), (made,)))


def test_a_skip_is_passed_on_by_order_alone(same: Callable[..., list[str]]) -> None:
    guard = Comparison(ParameterRef("mode"), Operator.EQUAL, Constant("on"))
    graph = Graph(
        "g",
        (Parameter("mode", default="on"),),
        (task("a", when=(guard,)), task("b", after=("a",)), task("c", after=("b",)), task("d")),
        exit_task=task("z"),
    )
    assert same(graph, {}) == ["a", "b", "c", "d", "z"]
    assert same(graph, {"mode": "off"}) == ["d", "z"]


def test_two_outputs_are_compared(same: Callable[..., list[str]]) -> None:
    out = (Parameter("o"),)
    guard = Comparison(TaskOutputRef("a", "o"), Operator.EQUAL, TaskOutputRef("b", "o"))
    swapped = Comparison(Constant("x"), Operator.NOT_EQUAL, TaskOutputRef("a", "o"))
    graph = Graph(
        "g", (), (task("a", outputs=out), task("b", outputs=out), task("c", when=(guard, swapped)))
    )
    assert same(graph, {}, {("a", "o"): "y", ("b", "o"): "y"}) == ["a", "b", "c"]
    assert same(graph, {}, {("a", "o"): "x", ("b", "o"): "x"}) == ["a", "b"]
    assert same(graph, {}, {("a", "o"): "y", ("b", "o"): "z"}) == ["a", "b"]


def test_retries_and_timeouts_are_carried() -> None:
    made = task("t", retry=Retry(3, 5.0, 3.0, 20.0), timeout_seconds=90)
    graph = Graph("g", (), (made,))
    written = tekton.lower(graph)
    (one,) = written.document["spec"]["tasks"]
    assert (one["retries"], one["timeout"]) == (3, "90s")
    assert any("wait between tries" in note for note in written.notes)
    template = argo.lower(graph).document["spec"]["templates"][1]
    assert template["activeDeadlineSeconds"] == 90
    assert template["retryStrategy"] == {
        "limit": "3",
        "retryPolicy": "Always",
        "backoff": {"duration": "5s", "factor": "3", "cap": "20s"},
    }


def test_argo_multiplies_waits_by_whole_numbers() -> None:
    written = argo.lower(Graph("g", (), (task("t", retry=Retry(3, 5.0, 1.5, 3600.0)),)))
    assert written.document["spec"]["templates"][1]["retryStrategy"]["backoff"]["factor"] == "2"
    assert any("rounded up for t" in note for note in written.notes)
    assert not argo.lower(Graph("g", (), (task("t", retry=Retry(3, 5.0, 3.0)),))).notes


def test_an_output_of_a_task_at_the_end_is_asked_of_finally() -> None:
    first = task("first")
    last = task("last", outputs=(Parameter("text"),), behind=("first",))
    graph = Graph("g", (), (first, last), outputs=(("text", TaskOutputRef("last", "text")),))
    (result,) = tekton.lower(graph).document["spec"]["results"]
    assert result["value"] == "$(finally.last.results.text)"


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (Graph("g", (Parameter("Name"), Parameter("name")), (task("t"),)), "tell it from 'Name'"),
        (
            Graph(
                "g",
                (),
                (task("t", inputs=(Parameter("a", default=""), Parameter("A", default=""))),),
            ),
            "task 't', parameter 'A', target tekton: Tekton does not tell it from 'a'",
        ),
        (Graph("g", (), (task("t", outputs=(Parameter("y_"),)),)), "output 'y_', target tekton"),
        (
            Graph(
                "g",
                (),
                (task("t", outputs=(Parameter("y"),)),),
                outputs=(("_y", TaskOutputRef("t", "y")),),
            ),
            "output '_y', target tekton",
        ),
    ],
)
def test_names_that_tekton_alone_refuses(graph: Graph, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        tekton.lower(graph)
    assert "argo or kfp" in caught.value.fix
    assert argo.lower(graph)


def test_long_pipelines_say_that_tekton_ends_runs_after_an_hour() -> None:
    notes = tekton.lower(read_graph(RELEASE)).notes
    assert any("spec.timeouts.pipeline" in note for note in notes)
    assert not tekton.lower(Graph("g", (), (task("t", timeout_seconds=60),))).notes


def test_names_that_an_engine_does_not_take() -> None:
    with pytest.raises(InputError, match="begins with a digit"):
        argo.lower(Graph("g", (), (task("2nd"),)))
    for lower in (tekton.lower, argo.lower):
        with pytest.raises(InputError, match="the name is not legal"):
            lower(Graph("g", (Parameter("a.b"),), (task("t"),)))


def test_a_task_may_have_the_entrypoints_name() -> None:
    spec = argo.lower(Graph("g", (), (task("pipeline"),))).document["spec"]
    names = [template["name"] for template in spec["templates"]]
    assert len(set(names)) == 2
    assert spec["entrypoint"] == names[0] != "pipeline"


def test_a_pod_is_what_kfp_kubernetes_says(
    check_manifest: Callable[[str], int], corpus: Path
) -> None:
    graph = read_graph(corpus / "pods.yaml")
    one = argo.lower(graph)
    other = tekton.lower(graph)
    template = one.document["spec"]["templates"][1]
    spec = other.document["spec"]["tasks"][0]["taskSpec"]
    container, step = template["container"], spec["steps"][0]
    assert container["env"] == [
        {
            "name": "PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": "db", "key": "password", "optional": True}},
        },
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert container["volumeMounts"] == [
        {"name": "volume-1", "mountPath": "/secrets"},
        {"name": "volume-2", "mountPath": "/settings"},
        {"name": "volume-3", "mountPath": "/data", "subPath": "a"},
        {"name": "volume-3", "mountPath": "/more"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    assert template["volumes"] == [
        {"name": "volume-1", "secret": {"secretName": "db", "optional": True}},
        {"name": "volume-2", "configMap": {"name": "settings"}},
        {"name": "volume-3", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    assert template["metadata"] == {
        "labels": {"team": "ml"},
        "annotations": {"note": 'it\'s "odd"'},
    }
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "2"}}
    assert container["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 3,
        "runAsNonRoot": True,
    }
    same = ("env", "volumeMounts", "imagePullPolicy", "securityContext")
    assert [step[key] for key in same] == [container[key] for key in same]
    assert step["computeResources"] == container["resources"]
    assert [spec[key] for key in ("volumes", "metadata")] == [
        template[key] for key in ("volumes", "metadata")
    ]
    for manifest in (one, other):
        check_manifest(manifest.to_yaml())


def test_where_a_pod_runs_is_said_by_argo_alone(
    check_manifest: Callable[[str], int], corpus: Path
) -> None:
    graph = read_graph(corpus / "placed.yaml")
    manifest = argo.lower(graph)
    spec = manifest.document["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["templates"][1]["nodeSelector"] == {"disk": "ssd"}
    assert spec["templates"][1]["tolerations"] == [
        {
            "key": "gpu",
            "operator": "Equal",
            "value": "yes",
            "effect": "NoExecute",
            "tolerationSeconds": 10,
        }
    ]
    check_manifest(manifest.to_yaml())
    with pytest.raises(InputError, match="task 'tick', node selector, target tekton") as caught:
        tekton.lower(graph)
    assert "argo or kfp" in caught.value.fix


def volume(source: str, path: str, kind: str = "emptyDir", **fields: Any) -> Volume:
    return Volume(kind, source, path, **fields)


def test_each_empty_folder_is_a_volume_of_its_own() -> None:
    kept = (
        volume("db", "/a", "secret"),
        volume("one", "/b"),
        volume("two", "/c"),
        volume("one", "/d"),
        volume("volume-1", "/e"),
    )
    pod = Pod(volumes=kept)
    assert problem(pod) == ""
    mounted = {item["mountPath"]: item["name"] for item in mounts_of(pod)}
    assert mounted["/b"] == mounted["/d"]
    assert len(set(mounted.values())) == 4
    written = {item["name"]: item for item in volumes_of(pod)}
    assert written.keys() == set(mounted.values())
    assert "secret" in written[mounted["/a"]]
    assert "emptyDir" in written[mounted["/e"]]


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (Pod(volumes=(volume("a", "/x"), volume("b", "/x"))), "two volumes are mounted at /x"),
        (Pod(volumes=(volume("a", "/x:y"),)), "nothing can be mounted at '/x:y'"),
        (Pod(volumes=(volume("A_b", "/x"),)), "an empty folder cannot be called 'A_b'"),
        (Pod(volumes=(volume("a", "/x", medium="Memory"), volume("a", "/y"))), "differently"),
        (Pod(volumes=(volume("My_Claim", "/x", "persistentVolumeClaim"),)), "'My_Claim'"),
        (Pod(labels=(("a b", "c"),)), "a label or annotation cannot be called 'a b'"),
        (Pod(labels=(("a", "b c"),)), "the label 'a' cannot be 'b c'"),
        (Pod(node_selector=(("a", "x" * 64),)), "the label 'a' cannot be"),
        (Pod(annotations=(("a/b/c", "anything at all"),)), "'a/b/c'"),
        (Pod(env=(EnvSource("A=B", "secretKeyRef", "s", "k"),)), "'A=B'"),
        (Pod(pull_secrets=("",)), "a secret, config map or claim"),
        (Pod(tolerations=(Toleration("k", "Exists", "v"),)), "may have no value"),
        (Pod(tolerations=(Toleration("", "Equal", "v"),)), "needs the operator Exists"),
        (Pod(tolerations=(Toleration("k", seconds=3),)), "needs the effect NoExecute"),
    ],
)
def test_what_kubernetes_would_refuse_of_a_pod_is_said(pod: Pod, said: str) -> None:
    assert said in problem(pod)


def test_a_pod_that_kubernetes_would_refuse_is_not_written(tmp_path: Path, corpus: Path) -> None:
    text = (corpus / "pods.yaml").read_text()
    path = tmp_path / "pods.yaml"
    path.write_text(text.replace("mountPath: /scratch", "mountPath: /data"))
    with pytest.raises(InputError, match="task 'tick': two volumes are mounted at /data"):
        read_graph(path)
