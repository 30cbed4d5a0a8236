"""Presets for a revision's pods, and for KServe's own model servers in them.

A pod is found by its namespace and its name: a Deployment names its pods after itself, with the
hash of a ReplicaSet and five more characters, and Knative puts ``-deployment`` in between.

Sources of names and labels:

* cAdvisor, as the kubelet exports it: docs/storage/prometheus.md in github.com/google/cadvisor;
  the series without a container are sums over a pod, and "POD" is its pause container.
* kube-state-metrics: docs/metrics/workload/pod-metrics.md in github.com/kubernetes.
* KServe: kserve.github.io/website, "Prometheus Metrics": the servers export a histogram a step of a
  request, labelled with the model; the pod's labels are those that Prometheus adds on discovery.
"""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.gate.pods import pod_growth, pod_quantile

__all__ = ["KSERVE_BUCKET", "KSERVE_REQUESTS", "KUBERNETES_PRESETS"]

PODS = 'namespace="${namespace}",pod=~"${revision}(-deployment)?-[a-z0-9]+-[a-z0-9]{5}"'
CANARY = PODS.replace("${revision}", "${canary}")
CONTAINERS = f'{CANARY},container!="",container!="POD"'
EACH = "by (namespace, pod, container)"
MATCH = "on (namespace, pod, container)"
KSERVE_BUCKET = f"request_predict_seconds_bucket{{{PODS}}}"
"""The histogram of a revision's predictions, with ``${revision}``."""
KSERVE_REQUESTS = f"request_predict_seconds_count{{{CANARY}}}"
"""The counters of the canary's predictions."""


def _of_limit(used: str, resource: str) -> str:
    limit = f'kube_pod_container_resource_limits{{{CANARY},resource="{resource}"}}'
    return f"max(({used}) / {MATCH} (max {EACH} ({limit}) > 0))"


CPU = f"sum {EACH} (rate(container_cpu_usage_seconds_total{{{CONTAINERS}}}[${{window}}]))"
MEMORY = f"max {EACH} (container_memory_working_set_bytes{{{CONTAINERS}}})"
COUNTED = f"kube_pod_container_status_restarts_total{{{CANARY}}}"
RESTARTS, BEFORE = (f"max {EACH} ({COUNTED}{then})" for then in ("", " offset ${window}"))

KUBERNETES_PRESETS: Mapping[str, tuple[str, str, str]] = {
    "cpu_saturation": (
        _of_limit(CPU, "cpu"),
        "ratio",
        "CPU time in ${window} by the limit, of the canary's container that is nearest to it.",
    ),
    "memory_saturation": (
        _of_limit(MEMORY, "memory"),
        "ratio",
        "Memory by the limit, of the canary's container that is nearest to it.",
    ),
    "pod_restarts": (
        f"sum(clamp_min({RESTARTS} - ({BEFORE} or {RESTARTS} * 0), 0))",
        "count",
        "How often containers of the canary restarted in ${window}.",
    ),
    "kserve_latency_p50": (
        pod_quantile(KSERVE_BUCKET, 0.5, 1000),
        "ms",
        "Half of the canary's predictions in ${window} took at most this long.",
    ),
    "kserve_latency_p95": (
        pod_quantile(KSERVE_BUCKET, 0.95, 1000),
        "ms",
        "95 % of the canary's predictions in ${window} took at most this long.",
    ),
    "kserve_requests": (
        f"sum({pod_growth(KSERVE_REQUESTS)})",
        "count",
        "How many predictions the canary made in ${window}.",
    ),
}
"""Query, unit and summary by name."""
