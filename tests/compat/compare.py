"""Hold what kfp-tekton and kfp 1.8 make of the release pipeline against what Coalmine makes of it.

Both are read into the same plain words: what each task runs, with every value traced back to a
parameter of the pipeline or an output of a task, what must be true, and what comes before.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from coalmine.compiler.targets import Target, compile_targets
from coalmine.compiler.via import compile_v1, modernise

ROOT = Path(__file__).parents[2]
TWIN = Path(__file__).with_name("release_v1.py")
NEEDED = {"name": "n", "release_id": "r", "service": "s"}


@dataclass
class Said:
    """What a manifest says of one task."""

    command: list[str]
    retries: int
    seconds: int
    when: set[tuple[str, str, str]] = field(default_factory=set)
    before: set[str] = field(default_factory=set)


@dataclass
class Whole:
    """What it says of the pipeline."""

    parameters: dict[str, str | None]
    tasks: dict[str, Said]
    at_the_end: Said


def same_name(text: str) -> str:
    """Leave out how each compiler spells an output: image-url, image_url, IMAGE_URL."""
    return text.replace("-", "_").lower()


def page(text: str) -> str:
    """Write the place of a page that stays in its container as that of any output."""
    return re.sub(r"^/tmp/coalmine-page-([\w-]+)$", lambda m: f"<path {same_name(m[1])}>", text)


def read_tekton(document: Mapping[str, Any]) -> Whole:
    spec = document["spec"].get("pipelineSpec", document["spec"])
    entries = {task["name"]: task for task in spec["tasks"]}
    deciding = {name: task for name, task in entries.items() if name.startswith("condition-")}

    def source(text: str) -> str:
        text = re.sub(r"\$\(params\.([\w-]+)\)", r"<\1>", text)
        return re.sub(
            r"\$\(tasks\.([\w-]+)\.results\.([\w-]+)\)",
            lambda match: f"<{match[1]}.{same_name(match[2])}>",
            text,
        )

    def said(task: Mapping[str, Any]) -> Said:
        values = {item["name"]: source(item["value"]) for item in task.get("params", [])}
        (step,) = task["taskSpec"]["steps"]

        def fill(text: str) -> str:
            text = re.sub(
                r"\$\((?:inputs\.)?params\.([\w-]+)\)", lambda match: values[match[1]], text
            )
            return re.sub(
                r"\$\(results\.([\w-]+)\.path\)", lambda m: f"<path {same_name(m[1])}>", text
            )

        command = [page(fill(text)) for text in [*step["command"], *step["args"]]]
        seconds = int(task["timeout"].removesuffix("s"))
        found = Said(command, task.get("retries", 0), seconds)
        for item in task.get("when", []):
            found.when.add(decided(item))
        texts = [*values.values(), *(left for left, _, _ in found.when)]
        found.before = {m for text in texts for m in re.findall(r"<([\w-]+)\.", text)}
        found.before |= set(task.get("runAfter", []))
        return found

    def decided(item: Mapping[str, Any]) -> tuple[str, str, str]:
        match = re.fullmatch(r"\$\(tasks\.(condition-\d+)\.results\.\w+\)", item["input"])
        if match:
            assert (item["operator"], item["values"]) == ("in", ["true"])
            given = {one["name"]: source(one["value"]) for one in deciding[match[1]]["params"]}
            return given["operand1"], given["operator"], given["operand2"]
        (value,) = item["values"]
        return source(item["input"]), {"in": "==", "notin": "!="}[item["operator"]], value

    (last,) = spec["finally"]
    return Whole(
        {item["name"]: item.get("default") for item in spec["params"]},
        {name: said(task) for name, task in entries.items() if name not in deciding},
        said(last),
    )


@dataclass
class Argo:
    """Undoes the nesting of a Workflow's DAGs."""

    templates: Mapping[str, Mapping[str, Any]]
    tasks: dict[str, Said] = field(default_factory=dict)

    def walk(
        self, name: str, known: Mapping[str, str], when: set[tuple[str, str, str]], before: set[str]
    ) -> set[str]:
        members: dict[str, set[str]] = {}
        waiting = list(self.templates[name]["dag"]["tasks"])
        while waiting:
            task = next(item for item in waiting if waits_for(item) <= set(members))
            waiting.remove(task)
            given = {item["name"]: trace(item["value"], known) for item in arguments(task)}
            guards = when | {condition(text, known) for text in [task.get("when", "")] if text}
            above = before.union(*(members[other] for other in waits_for(task)))
            inner = self.templates[task["template"]]
            if "dag" in inner:
                members[task["name"]] = self.walk(inner["name"], given, guards, above)
                continue
            members[task["name"]] = {task["name"]}
            said = leaf(inner, given)
            said.when, said.before = guards, above
            self.tasks[task["name"]] = said
        return set().union(*members.values())


def arguments(part: Mapping[str, Any], key: str = "arguments") -> list[dict[str, Any]]:
    return list(part.get(key, {}).get("parameters", []))


def waits_for(task: Mapping[str, Any]) -> set[str]:
    named = re.findall(r"([\w-]+)\.Succeeded", task.get("depends", ""))
    return {*task.get("dependencies", []), *named}


def trace(text: str, known: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        kind, *rest = match[1].split(".")
        if kind == "inputs":
            return known[rest[-1]]
        if kind == "workflow":
            return f"<{rest[-1]}>"
        return f"<{rest[0]}.{same_name(rest[-1].removeprefix(f'{rest[0]}-'))}>"

    return re.sub(r"\{\{([\w.-]+)\}\}", one, text)


def condition(text: str, known: Mapping[str, str]) -> tuple[str, str, str]:
    text = re.sub(
        r"tasks\['([\w-]+)'\]\.outputs\.parameters\['([\w-]+)'\]",
        r"'{{tasks.\1.outputs.parameters.\2}}'",
        text.removeprefix("{{= ").removesuffix(" }}"),
    )
    match = re.fullmatch(r"""["'](.*)["'] (==|!=) ["'](.*)["']""", trace(text, known))
    assert match, text
    return match[1], match[2], match[3]


def leaf(template: Mapping[str, Any], values: Mapping[str, str]) -> Said:
    outputs = template.get("outputs", {})
    places = [(item["name"], item["valueFrom"]["path"]) for item in outputs.get("parameters", [])]
    places += [(item["name"], item["path"]) for item in outputs.get("artifacts", [])]
    own = f"{template['name']}-"
    paths = {path: f"<path {same_name(name.removeprefix(own))}>" for name, path in places}
    container = template["container"]
    texts = [*container["command"], *container["args"]]
    command = [paths.get(text) or page(trace(text, values)) for text in texts]
    seconds = int(template["activeDeadlineSeconds"])
    return Said(command, int(template["retryStrategy"]["limit"]), seconds)


def read_argo(document: Mapping[str, Any]) -> Whole:
    spec = document["spec"]
    argo = Argo({item["name"]: item for item in spec["templates"]})
    top = {item["name"]: f"<{item['name']}>" for item in arguments(spec)}
    argo.walk(spec["entrypoint"], top, set(), set())
    last = argo.templates[spec["onExit"]]
    given = {
        item["name"]: trace(item.get("value", f"<{item['name']}>"), {})
        for item in arguments(last, "inputs")
    }
    defaults = {item["name"]: item.get("value") for item in arguments(spec)}
    return Whole(defaults, argo.tasks, leaf(last, given))


def far(tasks: Mapping[str, Said], name: str) -> set[str]:
    """Name everything that comes before a task, near and far."""
    near = tasks[name].before & set(tasks)
    return near.union(*(far(tasks, other) for other in near))


def differences(theirs: Whole, ours: Whole) -> Iterator[str]:
    """Say each difference in a sentence."""
    if theirs.parameters != ours.parameters:
        yield f"parameters: {theirs.parameters} and {ours.parameters}"
    if set(theirs.tasks) != set(ours.tasks):
        yield f"tasks: {sorted(theirs.tasks)} and {sorted(ours.tasks)}"
        return
    pairs = {name: (said, ours.tasks[name]) for name, said in theirs.tasks.items()}
    for name, (one, other) in {**pairs, "at the end": (theirs.at_the_end, ours.at_the_end)}.items():
        for what in ("command", "when", "retries", "seconds"):
            if getattr(one, what) != getattr(other, what):
                yield f"{name}, {what}: {getattr(one, what)} and {getattr(other, what)}"
    for name in theirs.tasks:
        if far(theirs.tasks, name) != far(ours.tasks, name):
            yield f"{name} comes behind {far(theirs.tasks, name)} and {far(ours.tasks, name)}"


def main() -> int:
    """Compare on both targets; 1 if anything differs."""
    compiled = compile_targets(ROOT / "pipelines" / "release.py", [Target.TEKTON, Target.ARGO])
    found = 0
    run, notes = modernise(compile_v1(TWIN, "tekton"), NEEDED)
    theirs = {
        Target.TEKTON: read_tekton(run),
        Target.ARGO: read_argo(yaml.safe_load(compile_v1(TWIN, "argo"))),
    }
    readers = {Target.TEKTON: read_tekton, Target.ARGO: read_argo}
    for target, whole in theirs.items():
        ours = readers[target](yaml.safe_load(compiled[target].text))
        lines = list(differences(whole, ours))
        print(f"{target}: {len(ours.tasks)} tasks and one at the end, {len(lines)} differences")
        for line in lines:
            print(f"  {line}")
        found += len(lines)
    for note in notes:
        print(f"note: {note}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
