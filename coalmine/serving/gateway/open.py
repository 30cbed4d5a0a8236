"""Open the Gateway API as a serving backend."""

from __future__ import annotations

from coalmine.serving.gateway.decide import Way
from coalmine.serving.gateway.moves import GatewayMoves
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.template import load_template
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import open_kube
from coalmine.serving.kube.example import parse_prediction
from coalmine.serving.mirror import Mirror

__all__ = ["open_gateway"]


def open_gateway(
    *,
    namespace: str,
    template: str,
    probe: str,
    force: bool,
    preview: str = "",
    mirror: Mirror | None = None,
) -> KubeServing[Seen]:
    """Open the cluster that is named here.

    Args:
        namespace: Where the services live; empty means the cluster's default.
        template: File that a service is made from on its first release.
        probe: The prediction to ask of a canary; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.
        preview: Value of the preview header; empty for no previews.
        mirror: Requests to mirror to a canary before its share; None for none.

    Raises:
        InputError: No cluster is named, or a setting is wrong.
    """
    made, prediction = load_template(template), parse_prediction(probe)
    kube = open_kube(namespace)
    way = Way(kube.namespace, made, preview=preview, mirror=mirror)
    return KubeServing(kube, GatewayMoves(way), force=force, probe=prediction, name="gateway")
