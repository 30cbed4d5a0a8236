"""Compile the cases and run them by ``kfp.local``, all in this process.

``python run_kfp_local.py FOLDER NAME...`` writes ``FOLDER/NAME.yaml`` and ``FOLDER/told.json``.
"""

# mypy: ignore-errors

import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import artifacts
import branches
import groups
import loops
import values
from cases import CASES
from kfp import compiler, dsl, local

assert all((artifacts, branches, groups, loops, values)), "they fill CASES"


def plain(value: Any) -> Any:
    return {"metadata": value.metadata} if isinstance(value, dsl.Artifact) else value


def written(path: Path) -> dict[str, Any]:
    """Read what one task gave: its parameters, and the metadata of its artifacts."""
    said = json.loads(path.read_text())
    artifacts_said = said.get("artifacts", {}).items()
    metadata = {name: item["artifacts"][0].get("metadata", {}) for name, item in artifacts_said}
    return {
        **said.get("parameterValues", {}),
        **{name: {"metadata": value} for name, value in metadata.items()},
    }


def run(pipeline: Any, arguments: Mapping[str, Any], root: Path) -> dict[str, Any]:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    outputs: dict[str, Any] = {}
    message = ""
    try:
        done = pipeline(**arguments)
        outputs = {name: plain(value) for name, value in done.outputs.items()}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        message = f"{type(error).__name__}: {error}"
    tasks = [written(path) for path in root.rglob("executor_output.json")]
    return {"failed": message, "outputs": outputs, "tasks": tasks}


def main(folder: Path, *names: str) -> None:
    told = {}
    for name in names:
        case = CASES[name]
        compiler.Compiler().compile(case.pipeline, str(folder / f"{name}.yaml"))
        for number, arguments in enumerate(case.runs):
            root = folder / f"{name}-{number}"
            found = run(case.pipeline, arguments, root)
            gives = case.gives[number] if case.apart else ()
            about = {"case": name, "apart": case.apart, "gives": gives, "arguments": arguments}
            told[root.name] = {**about, **found}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), *(sys.argv[2:] or CASES))
