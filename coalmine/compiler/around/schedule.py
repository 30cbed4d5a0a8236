"""A pipeline at fixed times: what each engine is given for it.

No engine can do all that another does, so what one cannot do is refused and not left out: see
``CONCURRENCY`` and ``CATCH_UP``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.around.objects import parameter_values, run_account
from coalmine.compiler.graph import Graph

__all__ = ["CATCH_UP", "CONCURRENCY", "Posting", "Schedule", "cron_job", "cron_workflow"]

CONCURRENCY = {
    "argo": ("forbid", "allow", "replace"),
    "kfp": ("forbid", "allow"),
    "tekton": ("allow",),
}
"""What each engine can do when the run before has not ended; the first unless told."""
CATCH_UP = {"argo": ("last", "none"), "kfp": ("last", "all"), "tekton": ("last", "none")}
"""Which of the runs that were missed each engine can start late; the first unless told."""
LATE_SECONDS = 24 * 3600
SOON_SECONDS = 60
"""A CronJob's controller looks every ten seconds; a shorter deadline would miss runs."""
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
PART = re.compile(r"(\*|[0-9]+(-[0-9]+)?|[A-Za-z]{3}(-[A-Za-z]{3})?)(/[1-9][0-9]*)?")
MACROS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
"""A CronJob's name, with what Kubernetes puts behind it (11 characters)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a pipeline runs, and with what.

    Attributes:
        engine: ``kfp``, ``argo`` or ``tekton``.
        name: Of the schedule.
        cron: Five fields, or a macro such as ``@daily``.
        timezone: An IANA name; empty for the engine's own.
        concurrency: One of the engine's ``CONCURRENCY``.
        catch_up: One of the engine's ``CATCH_UP``.
        parameters: Values for the pipeline.
    """

    engine: str
    name: str
    cron: str
    timezone: str = ""
    concurrency: str = ""
    catch_up: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def checked(self) -> Schedule:
        """Fill in what the engine does unless told.

        Raises:
            InputError: A field is wrong, or asks for what the engine cannot do.
        """
        if not NAME.fullmatch(self.name):
            raise InputError(
                f"{self.name!r} is no name for a schedule",
                field="--name",
                fix="use at most 52 small letters, digits and dashes",
            )
        _check_cron(self.cron)
        if self.engine == "kfp" and self.timezone:
            raise InputError(
                "Kubeflow Pipelines has one time zone for all recurring runs",
                field="--timezone",
                fix="leave it out; see CRON_SCHEDULE_TIMEZONE of its installation",
            )
        return Schedule(
            engine=self.engine,
            name=self.name,
            cron=self.cron,
            timezone=self.timezone,
            concurrency=_choose(CONCURRENCY, self.engine, self.concurrency, "--concurrency"),
            catch_up=_choose(CATCH_UP, self.engine, self.catch_up, "--catch-up"),
            parameters=self.parameters,
        )


@dataclass(frozen=True, slots=True)
class Posting:
    """How a CronJob asks for a run.

    Attributes:
        image: What holds ``coalmine``.
        url: The event sink.
        type: The event's type.
    """

    image: str
    url: str
    type: str


def cron_workflow(graph: Graph, schedule: Schedule, *, id_parameter: str) -> dict[str, Any]:
    """Make an Argo CronWorkflow over the pipeline's WorkflowTemplate.

    Args:
        graph: The pipeline.
        schedule: Checked.
        id_parameter: The parameter that gets each run's own name, unless a value is given.
    """
    values = parameter_values(dict(schedule.parameters), forbidden="{{ $$ $(", target="Argo")
    if id_parameter and id_parameter not in schedule.parameters:
        values.append({"name": id_parameter, "value": "{{workflow.name}}"})
    workflow: dict[str, Any] = {
        "workflowTemplateRef": {"name": graph.name},
        "serviceAccountName": run_account(graph.name),
    }
    if values:
        workflow["arguments"] = {"parameters": values}
    spec: dict[str, Any] = {"schedules": [schedule.cron]}
    if schedule.timezone:
        spec["timezone"] = schedule.timezone
    spec["concurrencyPolicy"] = schedule.concurrency.capitalize()
    if schedule.catch_up == "last":
        spec["startingDeadlineSeconds"] = LATE_SECONDS
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": schedule.name},
        "spec": {**spec, "workflowSpec": workflow},
    }


def cron_job(schedule: Schedule, posting: Posting) -> list[dict[str, Any]]:
    """Make a CronJob that posts an event, and the event.

    The event's id comes from the name of the Job, so a pod that is tried again sends the same
    event, and the same run is asked for.
    """
    name = schedule.name
    event = {
        "specversion": "1.0",
        "id": name,
        "source": f"/schedules/{name}",
        "type": posting.type,
        "datacontenttype": "application/json",
        "data": dict(schedule.parameters),
    }
    label = "metadata.labels['batch.kubernetes.io/job-name']"
    container = {
        "name": "send",
        "image": posting.image,
        "command": ["coalmine", "send", "/event/event.json"],
        "args": ["--binary", "--sink", "--url", posting.url],
        "env": [{"name": "COALMINE_SEND_ID_FROM", "valueFrom": {"fieldRef": {"fieldPath": label}}}],
        "volumeMounts": [{"name": "event", "mountPath": "/event", "readOnly": True}],
    }
    pod = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "event", "configMap": {"name": name}}],
    }
    late = LATE_SECONDS if schedule.catch_up == "last" else SOON_SECONDS
    spec: dict[str, Any] = {"schedule": schedule.cron}
    if schedule.timezone:
        spec["timeZone"] = schedule.timezone
    spec |= {"concurrencyPolicy": "Forbid", "startingDeadlineSeconds": late}
    spec["jobTemplate"] = {"spec": {"backoffLimit": 5, "template": {"spec": pod}}}
    written = json.dumps(event, indent=2, ensure_ascii=False) + "\n"
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"event.json": written},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": name},
            "spec": spec,
        },
    ]


def _choose(table: Mapping[str, tuple[str, ...]], engine: str, wanted: str, option: str) -> str:
    known = table[engine]
    if wanted and wanted not in known:
        able = [name for name, words in table.items() if wanted in words]
        raise InputError(
            f"{engine} cannot do {wanted!r}",
            field=option,
            fix=f"use {' or '.join(known)}" + (f"; {', '.join(able)} can do it" if able else ""),
        )
    return wanted or known[0]


def _check_cron(text: str) -> None:
    if text in MACROS:
        return
    parts = text.split(" ")
    if len(parts) != len(FIELDS):
        raise _wrong_cron(text, f"has {len(parts)} fields")
    for part, (name, low, high) in zip(parts, FIELDS, strict=True):
        for item in part.split(","):
            numbers = [int(number) for number in re.findall(r"[0-9]+", item.partition("/")[0])]
            in_range = all(low <= number <= high for number in numbers)
            if not PART.fullmatch(item) or not in_range or numbers != sorted(numbers):
                raise _wrong_cron(text, f"has {item!r} as {name}")


def _wrong_cron(text: str, problem: str) -> InputError:
    return InputError(
        f"{text!r} {problem}",
        field="--cron",
        fix="write five fields, e.g. '0 3 * * 1-5' for 03:00 on working days, or @daily",
    )
