"""The final status of what a task runs behind, put together by Argo as JSON.

The whole workflow's status is known to ``onExit`` alone; elsewhere the nodes are asked. What went
wrong is not said by Argo where it can be asked for, so the error's message names the group only.
"""

from __future__ import annotations

from coalmine.compiler.argo_value import Names
from coalmine.compiler.task import Task
from coalmine.compiler.value import FinalStatus

__all__ = ["final_status"]

FAILED = "'Failed', 'Error'"


def final_status(value: FinalStatus, task: Task, names: Names) -> str:
    """Write the expression; its keys are those of ``PipelineTaskFinalStatus`` in IR."""
    # Two closing braces side by side would end the expression.
    failed = f'\'FAILED","error":{{"code":1,"message":"{value.name} failed"}} }}\''
    good = '\'SUCCEEDED","error":{} }\''
    job = '\'{"pipelineJobResourceName":"\' + workflow.name'
    of = f'\'","pipelineTaskName":"{value.name}","state":"\''
    return f"{{{{= {job} + {of} + ({_has_failed(task, names)} ? {failed} : {good}) }}}}"


def _has_failed(task: Task, names: Names) -> str:
    if not task.behind:
        return f"workflow.status in [{FAILED}]"
    depth = len(names.path)
    homes = names.levels.homes
    nodes = {homes[name][depth] if len(homes[name]) > depth else name for name in task.behind}
    asked = " || ".join(f"tasks['{node}'].status in [{FAILED}]" for node in sorted(nodes))
    return f"({asked})" if len(nodes) > 1 else asked
