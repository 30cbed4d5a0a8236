from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from click.testing import CliRunner
from lupa.lua51 import LuaRuntime

from coalmine._base.errors import InputError
from coalmine.cli import cli
from coalmine.cli.beside import beside_pipeline
from coalmine.compiler import tekton
from coalmine.compiler.around import Extra, Rule, Surroundings, parse_text, surround
from coalmine.compiler.around.lua import script
from coalmine.compiler.around.tekton import run
from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.manifest import Manifest
from coalmine.compiler.piece import ExecutorText
from coalmine.compiler.task import Artifact, Task

ROOT = Path(__file__).parent.parent.parent
RELEASE = ROOT / "compiled" / "kfp" / "release.yaml"
VALUES = {"release_id": "r1", "service": "iris", "name": "iris_classifier"}
TYPE = "dev.coalmine.release.requested.v1"
HEADERS = {"ce-specversion": "1.0", "ce-type": TYPE, "ce-source": "/ci", "ce-id": "build42"}
BODY = {"name": "iris", "version": "v2"}


def rule(**changes: Any) -> Rule:
    texts = {
        "name": ("$(body.name)", None),
        "service": ("$(body.service)", "$(body.name)"),
        "version": ("$(body.version)", ""),
        "percent": ("$(body.canary.percent)", "10"),
    }
    text = partial(parse_text, place="x")
    given: dict[str, Any] = {
        "name": "release",
        "pipeline": "release",
        "types": (TYPE,),
        "sources": ("/ci", 'it\'s "here"', "/team.a/*/models?"),
        "id_parameter": "release_id",
        "parameters": tuple(
            (name, text(value), None if other is None else text(other))
            for name, (value, other) in texts.items()
        ),
    }
    return Rule(**(given | changes))


@cache
def release() -> Graph:
    return read_graph(RELEASE)


def made(target: str, *extras: Extra, **given: Any) -> dict[str, dict[str, Any]]:
    objects = surround(release(), target, extras, Surroundings(**given))
    return {item["kind"]: item for item in objects}


class Listener:
    """The CEL of a trigger, evaluated with the functions that the interceptor adds."""

    def __init__(self, trigger: Mapping[str, Any]) -> None:
        params = {item["name"]: item["value"] for item in trigger["interceptors"][0]["params"]}
        self.filter = params["filter"]
        self.overlays = {item["key"]: item["expression"] for item in params["overlays"]}

    def evaluate(self, text: str, headers: Mapping[str, str], body: object) -> Any:
        given = {name.title(): [value] for name, value in headers.items()}
        functions: dict[str, Callable[..., Any]] = {
            "canonical": lambda header, name: header.get(name.title(), [""])[0],
            "truncate": lambda text, length: text[:length],
            "replace": lambda text, old, new: text.replace(old, new),
        }
        context = cel.Context(variables={"header": given, "body": body}, functions=functions)
        return cel.evaluate(text, context)

    def takes(self, headers: Mapping[str, str], body: object) -> bool:
        try:
            return self.evaluate(self.filter, headers, body) is True
        except (RuntimeError, TypeError, ValueError):
            return False  # the interceptor takes no event whose filter fails

    def values(self, headers: Mapping[str, str], body: object) -> dict[str, str]:
        return {key: self.evaluate(text, headers, body) for key, text in self.overlays.items()}


def sensor_takes(headers: Mapping[str, str], body: object) -> bool:
    lua = LuaRuntime()
    header = {name.title(): [value] for name, value in headers.items()}
    event = lua.table_from({"header": header, "body": body}, recursive=True)
    lua.globals().event = event
    return lua.execute(script(rule())) is True


def listener_takes(headers: Mapping[str, str], body: object) -> bool:
    (trigger,) = made("tekton", Extra.TRIGGERS, rules=(rule(),))["EventListener"]["spec"][
        "triggers"
    ]
    return Listener(trigger).takes(headers, body)


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize("takes", [listener_takes, sensor_takes])
@pytest.mark.parametrize(
    ("headers", "body", "taken"),
    [
        (HEADERS, BODY, True),
        (HEADERS, {"name": "iris"}, True),
        (HEADERS, {"name": "iris", "version": 2.5, "other": [{"any": "$(thing)"}]}, True),
        (HEADERS, {"name": "iris", "canary": {"percent": 20.0}}, True),
        (HEADERS | {"ce-id": str(uuid.UUID(int=7, version=4))}, BODY, True),
        (HEADERS | {"ce-source": 'it\'s "here"'}, BODY, True),
        (HEADERS | {"ce-source": "/team.a/x/y/models?"}, BODY, True),
        (HEADERS | {"ce-source": "/team-a/x/models?"}, BODY, False),
        (HEADERS | {"ce-source": "/team.a/x/model"}, BODY, False),
        (HEADERS | {"ce-source": "/ci/"}, BODY, False),
        (HEADERS | {"ce-type": "other"}, BODY, False),
        (HEADERS | {"ce-specversion": "0.3"}, BODY, False),
        (HEADERS | {"ce-source": "/elsewhere"}, BODY, False),
        (without("ce-id"), BODY, False),
        (without("ce-type"), BODY, False),
        (HEADERS | {"ce-id": "x" * 16}, BODY, False),
        (HEADERS | {"ce-id": "Build42"}, BODY, False),
        (HEADERS | {"ce-id": "a/../b"}, BODY, False),
        (HEADERS | {"ce-id": str(uuid.UUID(int=7, version=1))}, BODY, False),
        (HEADERS | {"ce-id": "ABCDEF01-4567-4abc-8def-000000000000"}, BODY, False),
        (HEADERS, {}, False),
        (HEADERS, {"name": True}, False),
        (HEADERS, {"name": {"a": "b"}}, False),
        (HEADERS, {"name": "$(params.x)"}, False),
        (HEADERS, {"name": "{{workflow.name}}"}, False),
        (HEADERS, {"name": "a b"}, False),
        (HEADERS, {"name": "a\nb"}, False),
        (HEADERS, {"name": 'a"b'}, False),
        (HEADERS, {"name": "é"}, False),
        (HEADERS, {"name": "x" * 254}, False),
        (HEADERS, {"name": "iris", "version": "v$$2"}, False),
        (HEADERS, {"name": "iris", "canary": {"percent": "{{=1+1}}"}}, False),
    ],
)
def test_only_harmless_events_are_taken(
    takes: Callable[[Mapping[str, str], object], bool],
    headers: Mapping[str, str],
    body: object,
    taken: bool,
) -> None:
    assert takes(headers, body) is taken


def test_the_listener_gives_each_parameter_its_value() -> None:
    objects = made("tekton", Extra.TRIGGERS, rules=(rule(),))
    listener = Listener(objects["EventListener"]["spec"]["triggers"][0])
    values = listener.values(
        HEADERS, {"name": "iris", "version": None, "canary": {"percent": 20.0}}
    )
    expected = {"name": "iris", "service": "iris", "version": "", "percent": "20"}
    assert values == expected | {"run_id": "rbuild42"}
    assert listener.values(HEADERS, {"name": "i", "service": "s"})["service"] == "s"
    long = HEADERS | {"ce-id": "0123abcd-4567-4abc-8def-000000000000"}
    assert listener.values(long, BODY)["run_id"] == "r0123abcd45674ab"
    bound = {item["name"]: item["value"] for item in objects["TriggerBinding"]["spec"]["params"]}
    assert bound["release_id"] == bound["run-id"] == "$(extensions.run_id)"
    assert bound["percent"] == "$(extensions.percent)"


def test_a_run_is_named_after_its_event_and_is_not_ended_after_an_hour() -> None:
    template = made("tekton", Extra.TRIGGERS, rules=(rule(),))["TriggerTemplate"]["spec"]
    (run,) = template["resourcetemplates"]
    assert run["metadata"] == {"name": "release-$(tt.params.run-id)"}
    assert run["spec"]["timeouts"] == {"pipeline": "0"}
    used = {item["value"] for item in run["spec"]["params"]}
    known = {f"$(tt.params.{item['name']})" for item in template["params"]}
    assert used < known
    sensor = made("argo", Extra.TRIGGERS, rules=(rule(),))["Sensor"]["spec"]["triggers"][0]
    k8s = sensor["template"]["k8s"]
    names = [item["name"] for item in k8s["source"]["resource"]["spec"]["arguments"]["parameters"]]
    places = {item["dest"]: item["src"] for item in k8s["parameters"]}
    assert places["metadata.name"]["dataTemplate"].startswith(
        'release-r{{ index .Input.header "Ce-Id"'
    )
    assert "value" not in places["metadata.name"]
    assert len(places) == len(names) + 1
    percent = places[f"spec.arguments.parameters.{names.index('percent')}.value"]
    assert percent["value"] == "10"


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_run_has_a_volume_for_artifacts_where_the_pipeline_declares_one(
    at_the_end: bool, check_manifest: Callable[[str], int]
) -> None:
    plain = Task("plain", "plain", "i", command=(("x",),))
    asking = (("x",), (ExecutorText.INPUT,))
    making = Task("making", "making", "i", command=asking, made=(Artifact("page"),))
    graph = Graph("g", (), (plain,), exit_task=making) if at_the_end else Graph("g", (), (making,))
    pipeline = tekton.lower(graph)
    declared = [item["name"] for item in pipeline.document["spec"]["workspaces"]]
    assert declared == ["artifacts"]
    (made_run,) = run(graph, {})
    assert [item["name"] for item in made_run["spec"]["workspaces"]] == declared
    for other in (Graph("g", (), (plain,)), release()):
        assert "workspaces" not in tekton.lower(other).document["spec"]
        assert "workspaces" not in run(other, {})[0]["spec"]
    check_manifest(pipeline.to_yaml() + "---\n" + Manifest(made_run).to_yaml())


@pytest.mark.parametrize("target", ["tekton", "argo"])
def test_a_run_needs_its_parameters_and_takes_no_others(target: str) -> None:
    run = made(target, Extra.RUN, parameters=VALUES)
    (kind,) = run
    assert run[kind]["metadata"] == {"generateName": "release-"}
    for parameters, said in [
        ({}, "needs: name, release_id, service"),
        (VALUES | {"colour": "red"}, "does not take: colour"),
        (VALUES | {"version": "a$(b)"}, "would expand"),
    ]:
        with pytest.raises(InputError, match=said):
            made(target, Extra.RUN, parameters=parameters)


def test_bindings_that_do_not_fit_the_pipeline() -> None:
    for rules, said in [
        ((), "no binding names the pipeline release"),
        ((rule(pipeline="other"),), "no binding names"),
        ((rule(id_parameter=""),), "also needs: release_id"),
        ((rule(parameters=(*rule().parameters, ("colour", ("red",), None))),), "not take: colour"),
    ]:
        with pytest.raises(InputError, match=said):
            made("tekton", Extra.TRIGGERS, rules=rules)
    with pytest.raises(InputError, match="cannot be passed on"):
        parse_text("$(body.name) $(date)", place="x")


def test_the_least_rights() -> None:
    def rights(target: str) -> set[tuple[str, str]]:
        roles = surround(release(), target, [Extra.RBAC, Extra.TRIGGERS], given)
        return {
            (resource, verb)
            for item in roles
            for entry in item.get("rules", [])
            for resource in entry["resources"]
            for verb in entry["verbs"]
            if verb not in {"get", "list", "watch"}
        }

    given = Surroundings(rules=(rule(),))
    assert rights("tekton") == {("pipelineruns", "create")}
    assert rights("argo") == {
        ("workflows", "create"),
        ("workflowtaskresults", "create"),
        ("workflowtaskresults", "patch"),
    }


@pytest.mark.parametrize("target", ["tekton", "argo"])
def test_everything_holds(
    coalmine: Callable[..., subprocess.CompletedProcess[str]],
    target: str,
    tmp_path: Path,
    check_manifest: Callable[[str], int],
) -> None:
    output = tmp_path / "all.yaml"
    given = " ".join(f"--param {name}={value}" for name, value in VALUES.items())
    asked = f"compile {RELEASE} --target {target} --with run,triggers,rbac {given} -o {output}"
    done = coalmine(*asked.split())
    assert done.returncode == 0, done.stderr
    check_manifest(output.read_text())
    first = yaml.safe_load(output.read_text().partition("---")[0])
    assert first["metadata"]["name"] == "release"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target=argo", "--with=nothing"], "--with: there is no 'nothing'"),
        (["--target=kfp", "--with=run"], "--with: stands beside a pipeline on tekton and argo"),
        (["--target=argo", "--with=run", "--param=x"], "--param: 'x' is no new NAME=VALUE"),
        (["--target=argo", "--with=run"], "needs: name, release_id, service"),
    ],
)
def test_wrong_options_exit_2(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["compile", str(RELEASE), *arguments])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert done.exception.fix
    assert not done.stdout


@pytest.mark.parametrize(
    "line", ["filter: body.name == 'x'", "same_within: 10m", "on_conflict: reject"]
)
def test_what_only_the_launcher_does_is_refused(tmp_path: Path, line: str) -> None:
    default = ROOT / "coalmine" / "launcher" / "bindings.yaml"
    file = tmp_path / "bindings.yaml"
    file.write_text(default.read_text().replace("    engine: local", f"    {line}"))
    with pytest.raises(InputError, match=f"binding release: {line.partition(':')[0]} is what"):
        beside_pipeline("triggers", (), file, "default")


def resources(folder: Path) -> list[dict[str, Any]]:
    """Read what a kustomization names, the folders it builds on included."""
    found: list[dict[str, Any]] = []
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = folder / name
        found += resources(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    return found


@pytest.mark.parametrize("target", ["tekton", "argo"])
def test_what_deploy_applies(target: str) -> None:
    folder = ROOT / "deploy" / target
    objects = resources(folder)
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(set(names)) == len(names)
    accounts = {name for kind, name in names if kind == "ServiceAccount"}
    for item in objects:
        if item["kind"].endswith("RoleBinding"):
            assert item["subjects"][0]["name"] in accounts
            role = item["roleRef"]
            assert (role["kind"], role["name"]) in names
    assert yaml.safe_load((folder / "kustomization.yaml").read_text())["namespace"] == "coalmine"


@pytest.mark.parametrize("target", ["tekton", "argo"])
def test_kubectl_builds_what_deploy_names(
    target: str, check_manifest: Callable[[str], int]
) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    folder = ROOT / "deploy" / target
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=True, timeout=60
    )
    built = [item for item in yaml.safe_load_all(done.stdout) if item]
    assert len(built) == len(resources(folder))
    for item in built:
        of_cluster = item["kind"] in {"Namespace", "ClusterRole", "ClusterRoleBinding"}
        assert of_cluster or item["metadata"]["namespace"] == "coalmine"
        for subject in item.get("subjects", []):
            assert subject["namespace"] == "coalmine"
    check_manifest(done.stdout)
