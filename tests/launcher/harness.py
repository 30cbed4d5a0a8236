"""A launcher whose pipelines are small JSON files of Python one-liners.

Called as: harness.py STATE PIPELINES PORT [BINDINGS]; the environment may say HARNESS_DATABASE,
and HARNESS_RECEIVERS.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coalmine._base.errors import CoalmineError
from coalmine._base.log import log_json_lines
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef
from coalmine.launcher.server import Settings, serve

PARAMETERS = ("release_id", "service", "name", "version", "percent")


def read_graph(path: Path) -> Graph:
    content = json.loads(path.read_text())
    tasks = [make_task(one) for one in content["tasks"]]
    exit_task = make_task(content["exit"]) if "exit" in content else None
    return Graph("release", tuple(Parameter(name) for name in PARAMETERS), tuple(tasks), exit_task)


def make_task(one: dict[str, str]) -> Task:
    name, output, when = one["name"], one.get("output"), one.get("when")
    condition = when and Comparison(
        TaskOutputRef(*when.split("=")[0].split(".")), Operator.EQUAL, Constant(when.split("=")[1])
    )
    return Task(
        name=name,
        component=name,
        image="host",
        command=((sys.executable,), ("-c",), (one["code"],), (InputRef("service"),)),
        args=((OutputPath(output),),) if output else (),
        inputs=(Parameter("service"),),
        arguments=(("service", ParameterRef("service")),),
        outputs=(Parameter(output),) if output else (),
        after=(one["after"],) if "after" in one else (),
        when=(condition,) if condition else (),
    )


def host(_: str, argv: Sequence[str]) -> list[str]:
    return list(argv)


def main(words: Sequence[str]) -> None:
    state, pipelines, port, *bindings = words
    log_json_lines()
    try:
        serve(
            Settings(
                state=Path(state),
                read_graph=read_graph,
                port=int(port),
                pipelines=Path(pipelines),
                bindings=Path(bindings[0]) if bindings else None,
                database=os.environ.get("HARNESS_DATABASE", ""),
                receivers=int(os.environ.get("HARNESS_RECEIVERS", "1")),
                host_command=host,
            )
        )
    except CoalmineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
