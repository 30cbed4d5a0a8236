"""The kinds of object that the server knows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "Kind", "kind_at", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    Attributes:
        group: Its API group; empty for the core group.
        version: The version it is served at.
        plural: Its name in paths.
        kind: Its name in objects.
        status: Whether its status is a subresource, which writes to the object leave alone.
        namespaced: Whether it lives in a namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    status: bool = True
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The name that the server's messages use: ``pipelineruns.tekton.dev``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


KINDS = (
    Kind("", "v1", "namespaces", "Namespace", namespaced=False),
    Kind("", "v1", "configmaps", "ConfigMap", status=False),
    Kind("", "v1", "secrets", "Secret", status=False),
    Kind("", "v1", "services", "Service"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", status=False),
    Kind("", "v1", "pods", "Pod"),
    Kind("", "v1", "events", "Event", status=False),
    Kind("apps", "v1", "deployments", "Deployment"),
    Kind("apps", "v1", "replicasets", "ReplicaSet"),
    Kind("batch", "v1", "jobs", "Job"),
    Kind("batch", "v1", "cronjobs", "CronJob"),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", status=False),
    # Tekton has the status subresource switched on; Argo Workflows has not.
    Kind("tekton.dev", "v1", "pipelines", "Pipeline", status=False),
    Kind("tekton.dev", "v1", "pipelineruns", "PipelineRun"),
    Kind("tekton.dev", "v1", "taskruns", "TaskRun"),
    Kind("argoproj.io", "v1alpha1", "workflows", "Workflow", status=False),
    Kind("argoproj.io", "v1alpha1", "workflowtemplates", "WorkflowTemplate", status=False),
    Kind("argoproj.io", "v1alpha1", "cronworkflows", "CronWorkflow", status=False),
    Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"),
    Kind("serving.kubeflow.org", "v1beta1", "inferenceservices", "InferenceService"),
    Kind("serving.kubeflow.org", "v1alpha2", "inferenceservices", "InferenceService"),
    Kind("serving.knative.dev", "v1", "services", "Service"),
    Kind("serving.knative.dev", "v1", "configurations", "Configuration"),
    Kind("serving.knative.dev", "v1", "revisions", "Revision"),
    Kind("serving.knative.dev", "v1", "routes", "Route"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", status=False),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress"),
    Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway"),
    Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    Kind("flagger.app", "v1beta1", "canaries", "Canary"),
    Kind("flagger.app", "v1beta1", "metrictemplates", "MetricTemplate"),
)

_AT = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_OF = {(kind.api_version, kind.kind): kind for kind in KINDS}


def kind_at(group: str, version: str, plural: str) -> Kind | None:
    """Find a kind by its place in a path."""
    return _AT.get((group, version, plural))


def kind_of(api_version: str, kind: str) -> Kind:
    """Find a kind by what stands in its objects.

    Raises:
        KeyError: The server does not know it.
    """
    return _OF[api_version, kind]
