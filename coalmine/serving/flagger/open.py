"""Open Flagger as a serving backend."""

from __future__ import annotations

from coalmine.serving.flagger.analysis import Analysis
from coalmine.serving.flagger.backend import FlaggerServing
from coalmine.serving.flagger.moves import FlaggerMoves
from coalmine.serving.flagger.setup import Way
from coalmine.serving.flagger.template import load_template
from coalmine.serving.kube.client import open_kube
from coalmine.serving.kube.drive import Timing

__all__ = ["open_flagger"]

TIMEOUT = 540.0
"""Seconds of one wait: Flagger sets up, takes up and begins at its own pace, a look a minute."""


def open_flagger(
    *, namespace: str, template: str, force: bool, container: str, analysis: Analysis | None
) -> FlaggerServing:
    """Open the cluster that is named here.

    Args:
        namespace: Where the Deployments live; empty means the cluster's default.
        template: File that a service is made from on its first release.
        force: Whether a canary may take the service from an unfinished release.
        container: The container or init container whose image is released; empty means the first.
        analysis: What Flagger shall check; None where no canary is begun.

    Raises:
        InputError: No cluster is named, or the template is wrong.
    """
    made = load_template(template)
    kube = open_kube(namespace)
    way = Way(kube.namespace, analysis, made, container)
    timing = Timing(timeout=TIMEOUT)
    return FlaggerServing(kube, FlaggerMoves(way), timing=timing, force=force, name="flagger")
