"""What a launcher has to know of the engines beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["NAMES", "EngineSettings"]

NAMES = ("local", "tekton", "argo", "kfp")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where engines are, and how runs are made there.

    Attributes:
        namespace: Where runs are made; empty for that of the context or of the pod. For ``kfp`` the
            namespace of a user; empty for installations without users.
        kubeconfig: A kubeconfig file; None for KUBECONFIG, the pod's own account or ~/.kube/config.
        context: Its context; empty for the current one.
        account: The service account of the tasks; empty for ``<pipeline>-run``.
        embedded: Whether each run on Tekton or Argo carries its pipeline; else the cluster has it.
        kfp_host: The base URL of Kubeflow Pipelines' API; empty for that in the same cluster.
        kfp_token_file: A file with the token for it, read again when it is refused.
        kfp_experiment: The experiment that its runs belong to.
        tasks_url: The base URL at which tasks on a cluster reach the launcher; empty where they
            cannot.
        tasks_secret: The Secret with a token for it, as ``name`` or ``name/key``, in the namespace
            of the runs; empty for none.
    """

    namespace: str = ""
    kubeconfig: Path | None = None
    context: str = ""
    account: str = ""
    embedded: bool = True
    kfp_host: str = ""
    kfp_token_file: Path | None = None
    kfp_experiment: str = "coalmine"
    tasks_url: str = ""
    tasks_secret: str = ""
