"""What each target can say: the one list, from which the table in docs/ is written.

``python -m coalmine.compiler.features docs/compile-targets.md`` writes the table anew. A test
compiles an example of every feature for every target and holds both against this list.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BEGIN", "END", "FEATURES", "Feature", "table"]

BEGIN = "<!-- written by python -m coalmine.compiler.features: do not edit -->\n"
END = "<!-- end of what is written -->\n"
REFUSED = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that the KFP SDK can say, and how each target says it; empty where it is refused.

    The target ``kfp`` has no column: the IR is its result, so it refuses nothing.
    """

    name: str
    local: str = REFUSED
    tekton: str = REFUSED
    argo: str = REFUSED


FEATURES = (
    Feature("container component", "process of this installation", "`taskSpec`", "template"),
    Feature(
        "parameters: str, int, float, bool, with defaults",
        "arguments",
        "`params` of type string",
        "`arguments.parameters`",
    ),
    Feature(
        "parameters: list and dict, with defaults",
        "JSON arguments",
        "`params` of type string, as JSON",
        "`arguments.parameters`, as JSON",
    ),
    Feature(
        "task outputs (parameters)",
        "files",
        "`results`, at most 4096 bytes",
        "`outputs.parameters`",
    ),
    Feature(
        "outputs of the whole pipeline",
        "kept with the run",
        "`results` of the Pipeline",
        "`outputs` of the entrypoint",
    ),
    Feature(
        "artifacts between tasks",
        "files of the run",
        "files in the workspace `artifacts`",
        "`artifacts`, by the artifact repository",
    ),
    Feature(
        "artifacts that go into a loop, or from task to task within a turn",
        "files of the run",
        "files in the workspace",
        "`inputs.artifacts` of the loop's template",
    ),
    Feature(
        "artifacts out of the run (metrics, HTML, Markdown too)",
        "files of the run; told by its outputs",
        "files in the workspace",
        "`outputs.artifacts` of the entrypoint",
    ),
    Feature("lists of artifacts (`dsl.Collected`)"),
    Feature(
        "one of several artifacts (`dsl.OneOf`)",
        "of the branch that ran",
        "a twin of the task for each branch",
        "`fromExpression` asks for `status`",
    ),
    Feature("`dsl.OneOf` of imported artifacts, or of lists that a sub-pipeline gathers"),
    Feature(
        "HTML and Markdown of a container component that nothing takes or gives out",
        "files of the run; told by its outputs",
        *("left in the container",) * 2,
    ),
    Feature("`dsl.importer`: URI, type and constant metadata", *("handed on; nothing runs",) * 3),
    Feature("the path of what `dsl.importer` takes from elsewhere, in a container component"),
    Feature(
        "Python function components (`@dsl.component`), `{{$}}`",
        "process of this installation",
        "`python3` around the command",
        "`python3` around the command",
    ),
    Feature(
        "`dsl.ConcatPlaceholder`, `dsl.IfPresentPlaceholder`, optional inputs without a value",
        *("resolved when compiled",) * 3,
    ),
    Feature(
        "optional parameters of the pipeline without a default",
        "left out where not given",
        "the default of what takes it",
        "the default of what takes it",
    ),
    Feature(
        "such parameters in a condition, an f-string or a loop",
        "have to be given, or the run fails",
        "have to be given; the first lines say so",
        "have to be given; the first lines say so",
    ),
    Feature("a command line that depends on whether the pipeline's parameter is given"),
    Feature("f-string arguments", "joined", "joined in `params`", "joined in `arguments`"),
    Feature(
        "names of job and task (`{{$.pipeline_job_name}}`)",
        "those of the run",
        "`context.pipelineRun`",
        "`workflow.name`, `workflow.uid`",
    ),
    Feature("root, times and metadata by placeholder (`{{$.pipeline_root}}`)"),
    Feature(
        "`dsl.If`, `Elif`, `Else`, nested: `==`, `!=` on strings",
        "compared to the byte",
        "`when`, with those of all tasks before it",
        "`when` as an expression",
    ),
    Feature(
        "conditions: `==`, `!=` of an int or a bool with a literal",
        "read, then compared",
        "`when` over the texts it may have",
        "`asInt`; a list of what is true",
    ),
    Feature(
        "conditions: `<`, `<=`, `>`, `>=`; floats; two ints or bools",
        "read, then compared",
        "a task that compares; `when` of its answer",
        "`asInt`, `asFloat`",
    ),
    Feature("conditions on a string with a quote, a backslash or a line break"),
    Feature("conditions of an int, float or bool with a string"),
    Feature("`after`", "waits", "`runAfter`", "`depends` with `.Succeeded`"),
    Feature("sub-pipelines", *("flattened; names joined by a dash",) * 3),
    Feature(
        "waiting for a group of which a part is conditional",
        "waits; a skip is forgiven, a failure is not",
        "`runAfter`",
        "`depends` with `.Skipped`",
    ),
    Feature(
        "`dsl.ExitHandler` around the whole pipeline", "runs last, always", "`finally`", "`onExit`"
    ),
    Feature(
        "`dsl.ExitHandler` around a part; several",
        "when the part has ended",
        "`finally`: at the end of all",
        "`depends` with `.Failed`",
    ),
    Feature(
        "`ignore_upstream_failure` on a task that nobody waits for",
        "when those before have ended",
        "`finally`: at the end of all",
        "`depends` with `.Failed`",
    ),
    Feature(
        "`ignore_upstream_failure` with tasks behind it, or with values of what may have failed",
        "a value that was not written is the default",
        REFUSED,
        "an expression asks for `status`",
    ),
    Feature(
        "final status (`dsl.PipelineTaskFinalStatus`)",
        "JSON, with what failed first",
        REFUSED,
        "an expression asks for `status`",
    ),
    Feature(
        "`dsl.ParallelFor` over constants, nested, of dicts",
        "turns side by side, 8 tasks at most",
        "a task for each turn",
        "a template with `withItems`",
    ),
    Feature(
        "`dsl.ParallelFor` over parameters and outputs",
        "turns are made when the list is known",
        REFUSED,
        "a template with `withParam`",
    ),
    Feature(
        "`parallelism` of a loop",
        "kept by starting no more turns",
        "`runAfter` the turn before",
        "`parallelism` of a template around it",
    ),
    Feature(
        "`dsl.Collected` of numbers, lists and dicts",
        "a JSON list",
        "`results` within a JSON list",
        "aggregated `outputs.parameters`",
    ),
    Feature(
        "`dsl.Collected` of texts",
        "a JSON list",
        REFUSED,
        "aggregated `outputs.parameters`",
    ),
    Feature(
        "`dsl.OneOf`",
        "of the branch that ran",
        "a twin of the task for each branch",
        "an expression asks for `status`",
    ),
    Feature(
        "`dsl.OneOf` as an output of the whole pipeline",
        "of the branch that ran",
        REFUSED,
        "`valueFrom.expression`",
    ),
    Feature(
        "`set_retry`",
        "with the waits",
        "`retries`, without the waits",
        "`retryStrategy` with `backoff`",
    ),
    Feature(
        "`kubernetes.set_timeout`, for each try", "kills it", "`timeout`", "`activeDeadlineSeconds`"
    ),
    Feature(
        "`set_display_name` of a task; of a sub-pipeline it is left out",
        "left out",
        "`displayName`",
        "`annotations` of the template",
    ),
    Feature("environment", "environment", "`env`", "`env`"),
    Feature("CPU and memory", "left out", "`computeResources`", "`resources`"),
    Feature("accelerators", "left out", "`computeResources`", "`resources`"),
    Feature(
        "kfp-kubernetes: environment from secrets, config maps and pod fields",
        "refused when submitted",
        "`env`",
        "`env`",
    ),
    Feature(
        "kfp-kubernetes: volumes of secrets, config maps, claims; empty folders",
        "refused when submitted",
        "`volumes`",
        "`volumes`",
    ),
    Feature(
        "kfp-kubernetes: pod labels and annotations, pull policy, user and group",
        "left out",
        "`metadata`, `imagePullPolicy`, `securityContext`",
        "`metadata`, `imagePullPolicy`, `securityContext`",
    ),
    Feature(
        "kfp-kubernetes: node selectors, tolerations, image pull secrets",
        "left out",
        REFUSED,
        "`nodeSelector`, `tolerations`, `imagePullSecrets`",
    ),
    Feature("kfp-kubernetes: names of secrets, config maps and claims from parameters"),
    Feature("kfp-kubernetes: node affinity, ephemeral volumes, making and deleting claims"),
)


def table() -> str:
    """Write the list as a Markdown table, with a final newline."""
    rows = [("feature", "local engine", "tekton", "argo"), ("---", "---", "---", "---")]
    rows += [
        (item.name, _cell(item.local), _cell(item.tekton), _cell(item.argo)) for item in FEATURES
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(how: str) -> str:
    return how or "refused"


def _main(page: str) -> None:
    path = Path(page)
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    path.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1])
