"""One try of a task: the command to run, and what it has written afterwards.

A component that takes KFP's executor input gets the same one here as in a pod: the code that makes
it and that reads the answer is the one which manifests carry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler import bootstrap
from coalmine.compiler.compare import normal
from coalmine.compiler.executor import spec_of
from coalmine.compiler.task import Task
from coalmine.engines.local.command import Places, command_line
from coalmine.engines.local.facts import fact, with_task

__all__ = ["Work", "collect", "prepare"]


@dataclass(frozen=True, slots=True)
class Work:
    """What one try runs.

    Attributes:
        argv: The command, as it would be in the container.
        request: KFP's executor input.
    """

    argv: list[str]
    request: dict[str, Any]


def prepare(
    task: Task, arguments: Mapping[str, str], folder: Path, parameters: Mapping[str, str]
) -> Work:
    """Work out what to run.

    Args:
        task: The task.
        arguments: The text of each input that has a value; of an artifact its description.
        folder: Where this try writes.
        parameters: Those of the run, with the facts on it.
    """
    known = with_task(parameters, task)
    taken = {item.name: json.loads(arguments[item.name]) for item in task.taken}
    made = {item.name: str(folder / item.name) for item in task.made}
    values = {item.name: arguments[item.name] for item in task.inputs if item.name in arguments}
    request = bootstrap.executor_input(spec_of(task), values, taken, made, str(folder))
    outputs = request["outputs"]
    places = Places(
        inputs=values,
        outputs={name: item["outputFile"] for name, item in outputs["parameters"].items()},
        taken={name: item["uri"] for name, item in taken.items()},
        made=made,
        executor={"input": json.dumps(request), "output": outputs["outputFile"]},
        fact=lambda of: known[fact(of)],
    )
    return Work(command_line(task, places), request)


def collect(task: Task, work: Work) -> dict[str, str]:
    """Read what a task has written: its parameters, and the description of each artifact.

    Raises:
        InputError: An output is missing, or no value of its type.
    """
    outputs = work.request["outputs"]
    written = _executor_output(Path(outputs["outputFile"]))
    said = written.get("parameterValues", {})
    values = {}
    for item in task.outputs:
        path = Path(outputs["parameters"][item.name]["outputFile"])
        try:
            known = item.name in said
            text = (
                bootstrap.text_of(said[item.name], item.type.value)
                if known
                else path.read_bytes().decode("utf-8")
            )
            values[item.name] = normal(text, item.type)
        except InputError as error:
            raise InputError(f"its output {item.name}: {error.message}") from None
        except FileNotFoundError:
            raise InputError(f"it exited with 0 but did not write its output {item.name}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"its output {item.name} cannot be read: {error}") from None
    return values | _artifacts(work, written)


def _artifacts(work: Work, written: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, item in work.request["outputs"]["artifacts"].items():
        said = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
        about = {**item["artifacts"][0], **said}
        about["name"] = about["name"] or name
        found[name] = bootstrap.json_text(about)
    return found


def _executor_output(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"what it has written for KFP cannot be read: {error}") from None
    return written if isinstance(written, dict) else {}
