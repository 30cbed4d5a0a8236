"""Open KServe or KFServing as a serving backend."""

from __future__ import annotations

from coalmine.serving.kserve.knative import KFSERVING, KSERVE, KnativeMoves
from coalmine.serving.kserve.pair import PairMoves
from coalmine.serving.kserve.pair_seen import Pair
from coalmine.serving.kserve.seen import Seen
from coalmine.serving.kserve.standard import StandardMoves, StandardServing
from coalmine.serving.kserve.template import load_template
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import open_kube
from coalmine.serving.kube.example import parse_prediction

__all__ = ["open_knative", "open_pair", "open_standard"]


def open_standard(*, namespace: str, probe: str, force: bool) -> StandardServing:
    """Open a cluster with KServe in Standard mode, for ``spec.canary``.

    Args:
        namespace: Where the InferenceServices live; empty means the cluster's default.
        probe: The prediction to ask of a canary; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.

    Raises:
        InputError: No cluster is named, or the probe is wrong.
    """
    prediction, kube = parse_prediction(probe), open_kube(namespace)
    moves = StandardMoves(kube.namespace)
    return StandardServing(kube, moves, force=force, probe=prediction, name="kserve-standard")


def open_pair(*, namespace: str, probe: str, force: bool) -> KubeServing[Pair]:
    """Open a cluster with KFServing's ``v1alpha2``.

    Args:
        namespace: Where the InferenceServices live; empty means the cluster's default.
        probe: The prediction to ask of a canary; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.

    Raises:
        InputError: No cluster is named, or the probe is wrong.
    """
    prediction, kube = parse_prediction(probe), open_kube(namespace)
    moves = PairMoves(kube.namespace)
    return KubeServing(kube, moves, force=force, probe=prediction, name="kfserving-v1alpha2")


def open_knative(
    *, namespace: str, template: str, probe: str, force: bool, kfserving: bool = False
) -> KubeServing[Seen]:
    """Open the cluster that is named here.

    Args:
        namespace: Where the InferenceServices live; empty means the cluster's default.
        template: File that a service is made from on its first release.
        probe: The prediction to ask of a canary; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.
        kfserving: Whether to speak to ``serving.kubeflow.org``.

    Raises:
        InputError: No cluster is named, or the template or the probe is wrong.
    """
    made, prediction = load_template(template), parse_prediction(probe)
    kube = open_kube(namespace)
    resource = KFSERVING if kfserving else KSERVE
    moves = KnativeMoves(kube.namespace, made, resource=resource, force=force)
    name = "kfserving" if kfserving else "kserve"
    return KubeServing(kube, moves, force=force, probe=prediction, name=name)
