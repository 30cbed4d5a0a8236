"""Control flow twice: as Python functions for ``kfp.local``, as containers for us.

``python kfp_local.py run FOLDER MODE`` runs the first; each task adds its text to
``FOLDER/log``. ``python kfp_local.py compile FILE`` compiles the second.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors

import sys
from pathlib import Path
from typing import List  # noqa: UP035 - kfp reads it

from kfp import compiler, dsl, local


@dsl.component
def python_mark(log: str, text: str) -> str:
    with open(log, "a") as file:  # noqa: PTH123 - a component stands alone
        file.write(f"{text}\n")
    return text


@dsl.component
def python_mark_all(log: str, texts: List[str]) -> str:  # noqa: UP006
    with open(log, "a") as file:  # noqa: PTH123
        file.write(f"all {','.join(texts)}\n")
    return ""


@dsl.container_component
def container_mark(log: str, text: str, written: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="i", command=["mark", text, log, written])


@dsl.container_component
def container_mark_all(log: str, texts: List[str], written: dsl.OutputPath(str)):  # noqa: UP006
    return dsl.ContainerSpec(image="i", command=["all", texts, log, written])


def pipeline_of(mark, mark_all):
    @dsl.pipeline(name="flow")
    def flow(log: str, mode: str):
        with dsl.If(mode == "x"):
            one = mark(log=log, text="one")
        with dsl.Elif(mode == "y"):
            two = mark(log=log, text="two")
        with dsl.Else():
            three = mark(log=log, text="three")
        taken = dsl.OneOf(one.output, two.output, three.output)
        mark(log=log, text=taken)
        with dsl.ParallelFor(["u", "v"]) as item:
            each = mark(log=log, text=item)
            with dsl.If(item == "u"):
                mark(log=log, text="inner")
        mark_all(log=log, texts=dsl.Collected(each.output))
        with dsl.ExitHandler(mark(log=log, text="end")):
            mark(log=log, text="part")

    return flow


def main(what: str, where: str, mode: str = "") -> None:
    if what == "compile":
        compiler.Compiler().compile(pipeline_of(container_mark, container_mark_all), where)
        return
    folder = Path(where)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "root"))
    pipeline_of(python_mark, python_mark_all)(log=str(folder / "log"), mode=mode)


if __name__ == "__main__":
    main(*sys.argv[1:])
