"""Choose a serving backend by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.serving.local import LocalServing, Unpack
from coalmine.serving.mirror import parse_mirror
from coalmine.serving.protocol import ServingBackend
from coalmine.serving.trial import Ways, parse_on_crash

if TYPE_CHECKING:
    from coalmine.serving.flagger.analysis import Analysis

__all__ = ["BACKENDS", "ServingSettings", "open_backend"]


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """What backends on Kubernetes are told besides their name.

    Attributes:
        namespace: Where the services live; empty means the kubeconfig's or the pod's own.
        template: File that a service is made from on its first release; empty refuses to make one.
        probe: What to ask of a canary, ``PATH JSON``; empty means the bento's own example.
        force: Whether a canary may take the service from an unfinished release.
        preview: Requests whose header ``x-coalmine-preview`` has this value go to the canary before
            it has a share; empty for none. On this machine and by the Gateway API.
        mirror: Requests of which a canary gets a copy before its share, as `parse_mirror` reads it;
            empty for none. On this machine and by the Gateway API.
        on_crash: What becomes of a canary on this machine whose server ends: ``rollback`` or
            ``restart``; empty means ``rollback``. Kubernetes restarts it always.
        container: Container or init container whose image is released; empty for the first. By
            Flagger only.
        analysis: What Flagger shall check; None where no canary is begun.
    """

    namespace: str = ""
    template: str = ""
    probe: str = ""
    force: bool = False
    preview: str = ""
    mirror: str = ""
    on_crash: str = ""
    container: str = ""
    analysis: Analysis | None = None


def open_backend(
    name: str, *, state: Path, unpack: Unpack, settings: ServingSettings | None = None
) -> ServingBackend:
    """Open a serving backend.

    Args:
        name: One of `BACKENDS`, or empty for ``local``.
        state: The state folder.
        unpack: Unpacks an image.
        settings: What backends on Kubernetes are told besides.

    Raises:
        InputError: There is no such backend, or a setting is wrong.
    """
    if name in ("", "local"):
        return LocalServing.of(state, unpack, _ways(settings or ServingSettings()))
    if name not in _ON_KUBERNETES:
        raise InputError(
            f"{name!r} is no serving backend", field="serving", fix=f"give: {', '.join(BACKENDS)}"
        )
    return _ON_KUBERNETES[name](settings or ServingSettings())


def _ways(settings: ServingSettings) -> Ways:
    mirror, on_crash = parse_mirror(settings.mirror), parse_on_crash(settings.on_crash)
    return Ways(settings.preview, mirror, on_crash)


def _kserve(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.kserve.open import open_knative  # noqa: PLC0415 - only where it is used

    return open_knative(
        namespace=settings.namespace,
        template=settings.template,
        probe=settings.probe,
        force=settings.force,
    )


def _standard(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.kserve.open import open_standard  # noqa: PLC0415 - as above

    return open_standard(namespace=settings.namespace, probe=settings.probe, force=settings.force)


def _kfserving(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.kserve.open import open_knative  # noqa: PLC0415 - as above

    return open_knative(
        namespace=settings.namespace,
        template=settings.template,
        probe=settings.probe,
        force=settings.force,
        kfserving=True,
    )


def _kfserving_pair(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.kserve.open import open_pair  # noqa: PLC0415 - as above

    return open_pair(namespace=settings.namespace, probe=settings.probe, force=settings.force)


def _gateway(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.gateway.open import open_gateway  # noqa: PLC0415 - as above

    return open_gateway(
        namespace=settings.namespace,
        template=settings.template,
        probe=settings.probe,
        force=settings.force,
        preview=settings.preview,
        mirror=parse_mirror(settings.mirror),
    )


def _flagger(settings: ServingSettings) -> ServingBackend:
    from coalmine.serving.flagger.open import open_flagger  # noqa: PLC0415 - as above

    return open_flagger(
        namespace=settings.namespace,
        template=settings.template,
        force=settings.force,
        container=settings.container,
        analysis=settings.analysis,
    )


_ON_KUBERNETES: Mapping[str, Callable[[ServingSettings], ServingBackend]] = {
    "kserve": _kserve,
    "kserve-standard": _standard,
    "kfserving": _kfserving,
    "kfserving-v1alpha2": _kfserving_pair,
    "gateway": _gateway,
    "flagger": _flagger,
}
BACKENDS = ("local", *_ON_KUBERNETES)
"""Every backend by its name."""
