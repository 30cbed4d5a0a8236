from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph, read_graph_text
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef

ROOT = Path(__file__).parent.parent.parent


def tasks_of(graph: Graph) -> dict[str, Task]:
    return {task.name: task for task in graph.tasks}


def test_release_is_what_the_design_says() -> None:
    graph = read_graph(ROOT / "compiled" / "kfp" / "release.yaml")
    assert [task.name for task in graph.tasks] == [
        *("retrieve", "build", "canary", "gate"),
        *("promote", "rollback"),
    ]
    assert graph.exit_task is not None
    assert graph.exit_task.name == "finalize"
    tasks = tasks_of(graph)
    verdict = TaskOutputRef("gate", "verdict")
    assert tasks["promote"].when == (Comparison(verdict, Operator.EQUAL, Constant("promote")),)
    assert tasks["rollback"].when == (Comparison(verdict, Operator.NOT_EQUAL, Constant("promote")),)
    assert tasks["gate"].timeout_seconds == 86400
    assert all(task.retry and task.timeout_seconds for task in (*graph.tasks, graph.exit_task))
    assert {item.name for item in graph.parameters if item.default is None} == {
        *("release_id", "service", "name"),
    }
    percent = next(item for item in graph.parameters if item.name == "percent")
    assert (percent.type, percent.default) == (ParameterType.INTEGER, "10")


def test_values_are_the_strings_a_container_gets(corpus: Path) -> None:
    tasks = tasks_of(read_graph(corpus / "chain.yaml"))
    defaults = {item.name: item.default for item in tasks["say"].inputs}
    assert defaults == {"count": "3", "loud": "true", "ratio": "0.05", "text": None}
    assert dict(tasks["say"].arguments) == {
        "text": ParameterRef("text"),
        "count": ParameterRef("count"),
    }
    assert dict(tasks["say-2"].arguments) == {
        "text": TaskOutputRef("say", "out"),
        "ratio": Constant("1"),
        "loud": Constant("false"),
    }
    assert tasks["say"].command == (("say",), ("--text",), (InputRef("text"),))
    assert tasks["say"].args[-1] == (OutputPath("out"),)
    assert tasks["tick"].after == ("say-2",)


def test_settings_of_a_task(corpus: Path) -> None:
    task = tasks_of(read_graph(corpus / "settings.yaml"))["say"]
    assert dict(task.arguments)["text"] == Constant("$HOME $$ $(date) it's\n\ttwo lines ")
    assert task.retry == Retry(3, 5.0, 3.0, 20.0)
    assert task.timeout_seconds == 90
    assert task.env == (("ODD", "a=$b 'c'\n"),)
    assert (task.resources.cpu_limit, task.resources.memory_request) == ("2", "64Mi")


def test_branches_carry_the_negations_of_those_before(corpus: Path) -> None:
    tasks = tasks_of(read_graph(corpus / "branches.yaml"))
    mode, other = ParameterRef("mode"), ParameterRef("other")
    fast = Comparison(mode, Operator.EQUAL, Constant("fast"))
    not_fast = Comparison(mode, Operator.NOT_EQUAL, Constant("fast"))
    not_slow = Comparison(mode, Operator.NOT_EQUAL, Constant("slow"))
    said = Comparison(TaskOutputRef("say", "out"), Operator.NOT_EQUAL, Constant("no"))
    assert {name: task.when for name, task in tasks.items()} == {
        "say": (),
        "say-2": (fast,),
        "tick": (fast,),
        "say-3": (fast, said),
        "say-4": (not_fast, Comparison(mode, Operator.EQUAL, Constant("slow"))),
        "say-5": (not_fast, not_slow),
        "say-6": (not_fast, not_slow, Comparison(mode, Operator.EQUAL, other)),
    }


def test_sub_pipelines_keep_their_tasks_apart(corpus: Path) -> None:
    tasks = tasks_of(read_graph(corpus / "nested.yaml"))
    assert set(tasks) == {
        *("inner-say", "inner-say-2", "inner-2-say", "inner-2-say-2", "tick"),
        *("inner-3-say", "inner-3-say-2"),
    }
    assert dict(tasks["inner-2-say"].arguments)["text"] == TaskOutputRef("inner-say-2", "out")
    assert tasks["tick"].after == ("inner-2-say-2",)
    assert dict(tasks["inner-3-say"].arguments)["text"] == ParameterRef("mode")
    assert len(tasks["inner-3-say-2"].when) == 1


def test_the_exit_handler_is_the_whole_pipeline(corpus: Path) -> None:
    graph = read_graph(corpus / "ended.yaml")
    assert [task.name for task in graph.tasks] == ["tick"]
    assert graph.exit_task is not None
    assert dict(graph.exit_task.arguments) == {"text": ParameterRef("text")}


@pytest.mark.parametrize(
    ("name", "task", "feature"),
    [
        ("no_affinity", "tick", "a Kubernetes node affinity"),
        ("no_artifact_list", "for-loop-2", "a list of artifacts"),
        ("no_late_secret", "tick", "a secret whose name is known only in a run"),
        ("no_backslash", "condition-1", "the condition"),
        ("no_remote_path", "reader", "the path of the artifact 'data'"),
        ("no_infinity", "condition-1", "< inf"),
        ("no_oneof_gathered", "condition-branches-1-oneof-1", "gathered from a loop"),
        ("no_late_limit", "say", "a CPU limit made of a parameter"),
        ("no_int_as_text", "condition-1", "== '5'"),
        ("no_create_time", "say", "pipeline_job_create_time_utc"),
        ("no_quote", "condition-1", "'it's'"),
    ],
)
def test_what_cannot_run_is_refused_by_task_and_feature(
    corpus: Path, name: str, task: str, feature: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_graph(corpus / f"{name}.yaml")
    assert str(corpus / f"{name}.yaml") in caught.value.message
    assert f"task {task!r}" in caught.value.message
    assert feature in caught.value.message
    assert "this version of Coalmine" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("no_uncertain", "the input 'extra' in its command line"),
        ("no_absent_value", "task 'careless' asks for the input 'text'"),
    ],
)
def test_what_the_pipeline_cannot_have(corpus: Path, name: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_graph(corpus / f"{name}.yaml")


def test_an_item_that_the_sdk_has_lost_says_how_to_mend_it(corpus: Path) -> None:
    with pytest.raises(InputError, match="no input of the group it stands in") as caught:
        read_graph(corpus / "no_lost_item.yaml")
    assert "the KFP SDK loses the item" in caught.value.fix


def broken(
    corpus: Path, name: str, change: Callable[[dict[str, Any]], object], document: int = 0
) -> str:
    documents = list(yaml.safe_load_all((corpus / f"{name}.yaml").read_text()))
    change(documents[document])
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda ir: ir.update(schemaVersion="3.0.0"), "schemaVersion is '3.0.0'"),
        (lambda ir: ir.pop("schemaVersion"), "schemaVersion is missing"),
        (lambda ir: ir.update(novel=1), "the field novel"),
        (lambda ir: ir["components"].pop("comp-tick"), "component 'comp-tick'"),
        (lambda ir: ir["components"]["comp-tick"].pop("executorLabel"), "neither a container"),
        (
            lambda ir: ir["deploymentSpec"]["executors"].pop("exec-tick"),
            "the executor 'exec-tick'",
        ),
        (
            lambda ir: ir["deploymentSpec"]["executors"]["exec-tick"]["container"].update(tty=True),
            r"the field deploymentSpec\.executors\.exec-tick\.container\.tty",
        ),
        (
            lambda ir: ir["deploymentSpec"]["executors"]["exec-tick"]["container"].pop("image"),
            r"exec-tick\.container\.image is missing \(task 'tick'\)",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["say"].update(dependentTasks=["tick"]),
            "in a circle: .*say.*tick",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["tick"].update(dependentTasks=["ghost"]),
            "'ghost', which does not exist",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["say"]["inputs"]["parameters"].pop("text"),
            "input 'text' has neither a value nor a default",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["say-2"]["inputs"]["parameters"]["text"][
                "taskOutputParameter"
            ].update(outputParameterKey="ghost"),
            "output 'ghost' of 'say'",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["say-2"]["inputs"]["parameters"].update(
                ratio={"runtimeValue": {"constant": "x"}}
            ),
            "value of 'ratio' is 'x', which is no NUMBER_DOUBLE",
        ),
        (lambda ir: ir["root"]["dag"].update(tasks={}), "has no tasks"),
        (lambda ir: ir["pipelineInfo"].update(name="Not Legal"), "'Not Legal' is not legal"),
        (
            lambda ir: ir["root"]["dag"]["tasks"].update(
                {"Tick": ir["root"]["dag"]["tasks"]["tick"]}
            ),
            "task name 'Tick' is not legal",
        ),
        (
            lambda ir: ir["root"]["dag"]["tasks"]["tick"].update(
                retryPolicy={"maxRetryCount": 1, "backoffDuration": "soon"}
            ),
            "'soon', which is no duration",
        ),
    ],
)
def test_a_damaged_file_names_the_place(
    corpus: Path, change: Callable[[dict[str, Any]], object], place: str
) -> None:
    text = broken(corpus, "chain", change)
    with pytest.raises(InputError, match=place) as caught:
        read_graph_text(text, source="chain.yaml")
    assert re.match(r"chain\.yaml(, line \d+)?: ", caught.value.message)


def test_an_unknown_platform_is_refused(corpus: Path) -> None:
    text = broken(corpus, "settings", lambda ir: ir["platforms"].update(vertex={}), document=1)
    with pytest.raises(InputError, match=r"the field platforms\.vertex"):
        read_graph_text(text)


def test_flattened_names_must_not_collide(corpus: Path) -> None:
    def collide(ir: dict[str, Any]) -> None:
        tasks = ir["root"]["dag"]["tasks"]
        tasks["inner-say"] = tasks["tick"] | {"dependentTasks": []}

    with pytest.raises(InputError, match="two tasks come to the same name 'inner-say'"):
        read_graph_text(broken(corpus, "nested", collide))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "a: 1\na: 2\n", "a: [", "\x00", "just text", "a: &a [*a, *a]", "---\n---\n"],
)
def test_what_is_no_pipeline(text: str) -> None:
    with pytest.raises(InputError):
        read_graph_text(text, source="x.yaml")


def test_every_truncation_is_refused() -> None:
    text = (ROOT / "compiled" / "kfp" / "release.yaml").read_text().split("\n---\n")[0]
    lines = text.splitlines(keepends=True)
    for count in range(1, len(lines) - 2, 23):
        with pytest.raises(InputError):
            read_graph_text("".join(lines[:count]))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    for name in ("absent.yaml", "binary.yaml"):
        with pytest.raises(InputError, match=name):
            read_graph(tmp_path / name)


def test_reading_does_not_import_kfp() -> None:
    code = (
        "import sys; from pathlib import Path; from coalmine.compiler.ir import read_graph;"
        "read_graph(Path('compiled/kfp/release.yaml'));"
        "sys.exit(any(name.split('.')[0] in {'kfp', 'google'} for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
