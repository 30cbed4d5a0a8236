"""What the serving steps share: the backend they work on, and a log line of what it routes."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine._base.errors import InputError
from coalmine.serving.protocol import Outcome, ReleaseRecord, ServingBackend
from coalmine.stack.layout import Layout
from coalmine.steps.contract import Surroundings

if TYPE_CHECKING:
    from coalmine.serving.flagger.analysis import Analysis

__all__ = ["log_routed", "outcome_of", "prometheus_of", "rfc3339", "serving_backend"]

logger = logging.getLogger(__name__)


def serving_backend(
    name: str,
    surroundings: Surroundings,
    *,
    namespace: str = "",
    template: str = "",
    probe: str = "",
    force: bool = False,
    preview: str = "",
    mirror: str = "",
    on_crash: str = "",
    container: str = "",
    analysis: Analysis | None = None,
) -> ServingBackend:
    """Open the serving backend of a step.

    Args:
        name: The step's input ``serving``.
        surroundings: Where the step runs.
        namespace: Kubernetes namespace of the service.
        template: File that a service on Kubernetes is made from on its first release.
        probe: The prediction to ask of a canary on Kubernetes.
        force: Whether a canary may take the service from an unfinished release.
        preview: Value of the preview header, on this machine and on the Gateway API.
        mirror: Requests to mirror to a canary before its share, there as well.
        on_crash: What becomes of a canary on this machine whose server ends.
        container: Container or init container whose image is released, by Flagger.
        analysis: What Flagger shall check.

    Raises:
        InputError: There is no such backend.
    """
    from coalmine.serving.select import ServingSettings, open_backend  # noqa: PLC0415 - only when a step runs

    settings = ServingSettings(
        namespace=namespace,
        template=template,
        probe=probe,
        force=force,
        preview=preview,
        mirror=mirror,
        on_crash=on_crash,
        container=container,
        analysis=analysis,
    )
    return open_backend(name, state=surroundings.state, unpack=_unpack, settings=settings)


def prometheus_of(url: str, serving: str, surroundings: Surroundings) -> str:
    """Tell where Prometheus answers: as it was given, or that of the stack on this machine.

    Raises:
        InputError: None is given, and what serves is not on this machine.
        CoalmineError: None is given, and no stack runs here.
    """
    if not url and serving not in ("", "local"):
        raise InputError(
            "is not given",
            field="prometheus_url",
            fix="give the Prometheus of the cluster, COALMINE_PROMETHEUS_URL=http://...",
        )
    return url or Layout(surroundings.state).read_endpoints().prometheus


def log_routed(backend: ServingBackend, service: str) -> None:
    """Log what is really routed."""
    shares = backend.observe(service).shares
    split = {share.revision: share.percent for share in shares}
    logger.info("routed", extra={"service": service, "shares": split})


def rfc3339(moment: datetime | None) -> str:
    """Write a time as RFC 3339 in UTC, to the millisecond; empty for None."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome_of(record: ReleaseRecord | None) -> str:
    """Tell what a release came to, by its record after a roll-back."""
    return str(Outcome(record.phase.value) if record else Outcome.UNCHANGED)


def _unpack(reference: str, into: Path) -> Path:
    from coalmine.images.unpack import unpack  # noqa: PLC0415 - only when a canary starts
    from coalmine.registry.options import options_from  # noqa: PLC0415

    return unpack(reference, into, registry=options_from(os.environ))
