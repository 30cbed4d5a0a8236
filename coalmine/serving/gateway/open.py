"""Open the Gateway API as a serving backend."""

from __future__ import annotations

from coalmine._base.errors import InputError
from coalmine.serving.gateway.decide import Way
from coalmine.serving.gateway.moves import GatewayMoves
from coalmine.serving.gateway.seen import Seen
from coalmine.serving.gateway.template import load_template
from coalmine.serving.kube.backend import KubeServing
from coalmine.serving.kube.client import open_kube
from coalmine.serving.kube.example import parse_prediction

__all__ = ["open_gateway"]


def open_gateway(
    *, namespace: str, template: str, probe: str, force: bool, preview: str = "", mirror: str = ""
) -> KubeServing[Seen]:
    """Open the cluster that is named here.

    Args:
        namespace: Where the services live; empty means the cluster's default.
        template: File that a service is made from on its first release.
        probe: The prediction to ask of a canary; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.
        preview: Value of the preview header; empty for no previews.
        mirror: Percent of requests to mirror to a canary before its share, 0 to 100; empty for 0.

    Raises:
        InputError: No cluster is named, or a setting is wrong.
    """
    made, prediction, percent = load_template(template), parse_prediction(probe), _percent(mirror)
    kube = open_kube(namespace)
    way = Way(kube.namespace, made, preview=preview, mirror=percent)
    return KubeServing(kube, GatewayMoves(way), force=force, probe=prediction)


def _percent(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or int(text) > 100:  # noqa: PLR2004
        raise InputError(
            f"{text!r} is not from 0 to 100", field="mirror", fix="give a whole number, such as 10"
        )
    return int(text)
