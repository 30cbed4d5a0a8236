"""What Flagger is told to check, and the objects that tell it. Pure.

The checks come from whoever opens the backend, in the words of this file: what serves knows no gate
policy. Of a MetricTemplate only the query and the provider's address are ours; what a team adds to
its provider (a secret, headers) stays.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coalmine.serving.kube.client import Object, Resource
from coalmine.serving.kube.kept import LABELS

__all__ = [
    "CANARIES",
    "DEPLOYMENTS",
    "OF_SERVICE",
    "STOP",
    "STOPPER",
    "TEMPLATES",
    "Analysis",
    "Measure",
    "canary_for",
    "merged_metrics",
    "templates_for",
]

CANARIES = Resource("flagger.app/v1beta1", "canaries", "Canary")
TEMPLATES = Resource("flagger.app/v1beta1", "metrictemplates", "MetricTemplate")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
OF_SERVICE = "coalmine.dev/service"
STOP = "coalmine-stop"
"""The name of the check that always fails, by which a run is ended early."""
STOPPER: Mapping[str, Any] = {"name": STOP, "query": "vector(1)", "thresholdRange": {"max": 0}}
"""That check. Where its query cannot be asked it fails as well."""
PORT = 3000
"""Where a bento listens, unless its container names another port."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One check, as Flagger can make it: one number, held against one bound or two.

    Attributes:
        name: Of the check, for people and for the names of objects.
        query: PromQL that gives one value.
        minimum: The smallest value that is good; None for no lower bound.
        maximum: The largest value that is good; None for no upper bound.
    """

    name: str
    query: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """How Flagger judges.

    Attributes:
        prometheus: Base URL of Prometheus, as Flagger reaches it.
        interval: Seconds between its looks; 10 at least.
        threshold: How many looks may fail, in all, before it takes the canary back.
        weights: The canary's share after each look that passed, in percent, growing.
        measures: What it looks at.
    """

    prometheus: str
    interval: int
    threshold: int
    weights: tuple[int, ...]
    measures: tuple[Measure, ...]


def templates_for(service: str, analysis: Analysis) -> dict[str, Object]:
    """Make the MetricTemplates of a service, by name."""
    made = {}
    for measure in analysis.measures:
        name = _template_name(service, measure)
        made[name] = {
            "apiVersion": TEMPLATES.api,
            "kind": TEMPLATES.kind,
            "metadata": {"name": name, "labels": {**LABELS, OF_SERVICE: service}},
            "spec": {
                "provider": {"type": "prometheus", "address": analysis.prometheus},
                "query": _escaped(measure.query),
            },
        }
    return made


def merged_metrics(
    service: str, analysis: Analysis, before: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Put our checks among those that a Canary has; in place of our own of a former release."""
    others = [dict(one) for one in before if not _is_ours(service, one)]
    return others + [_metric(service, measure) for measure in analysis.measures]


def canary_for(
    service: str, deployment: Object, analysis: Analysis, given: Object | None = None
) -> Object:
    """Make the Canary of a Deployment that has none.

    Args:
        service: The Deployment's name, and the Canary's.
        deployment: The Deployment, for its port.
        analysis: How it is judged.
        given: A Canary from the template; its service, provider and so on are kept, and of its
            analysis whatever it says itself.
    """
    made = copy.deepcopy(given or {})
    made |= {"apiVersion": CANARIES.api, "kind": CANARIES.kind}
    metadata = made.setdefault("metadata", {})
    metadata.pop("namespace", None)
    metadata["name"] = service
    metadata["labels"] = {**(metadata.get("labels") or {}), **LABELS, OF_SERVICE: service}
    spec = made.setdefault("spec", {})
    spec["targetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": service}
    spec.setdefault("service", {"port": _port(deployment), "targetPort": _port(deployment)})
    asked = spec.get("analysis") or {}
    spec["analysis"] = {
        "interval": f"{analysis.interval}s",
        "threshold": analysis.threshold,
        **({} if _has_strategy(asked) else {"stepWeights": list(analysis.weights)}),
        **asked,
        "metrics": merged_metrics(service, analysis, asked.get("metrics") or ()),
    }
    return made


def _has_strategy(asked: Mapping[str, Any]) -> bool:
    return any(field in asked for field in ("stepWeights", "stepWeight", "iterations"))


def _metric(service: str, measure: Measure) -> dict[str, Any]:
    bounds = {"min": measure.minimum, "max": measure.maximum}
    return {
        "name": measure.name,
        "templateRef": {"name": _template_name(service, measure)},
        "thresholdRange": {side: value for side, value in bounds.items() if value is not None},
    }


def _template_name(service: str, measure: Measure) -> str:
    return f"coalmine-{service}-{re.sub('[^a-z0-9]+', '-', measure.name.lower()).strip('-')}"


def _is_ours(service: str, metric: Mapping[str, Any]) -> bool:
    name = str((metric.get("templateRef") or {}).get("name", ""))
    return name.startswith(f"coalmine-{service}-") or metric.get("name") == STOP


def _escaped(query: str) -> str:
    """Keep Flagger's template language from reading a query: to it, only two braces are code."""
    return query.replace("{{", '{{"{{"}}')


def _port(deployment: Object) -> int:
    containers = deployment["spec"]["template"]["spec"].get("containers") or [{}]
    ports = containers[0].get("ports") or [{}]
    return int(ports[0].get("containerPort", PORT))
