"""Look for the reason while a canary is waited for, and say when waiting is of no use."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from coalmine._base.errors import CoalmineError
from coalmine.serving.kube.client import Kube, Resource
from coalmine.serving.kube.findings import Finding, of_deployments, of_pods
from coalmine.serving.kube.moves import Wait

__all__ = ["DEPLOYMENTS", "EVENTS", "PODS", "Diagnosis", "Patient"]

logger = logging.getLogger(__name__)
PODS = Resource("v1", "pods", "Pod")
EVENTS = Resource("v1", "events", "Event")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
PATIENCE = 8.0
"""Seconds that a fault must last before it is called one: a registry may fail once. With the
longest pause between two looks, it is told within 15 s of when it first shows."""
WATCHED = 15.0
"""Seconds for which a fault is watched closely: what crashes may just run again when the
patience is over, and must not be looked at only after the longest pause."""
CLOSELY = 1.0
LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, as a person reads it.

    Attributes:
        finding: The most telling reason.
        log: The last lines of the container's log; empty if there are none.
    """

    finding: Finding
    log: str = ""

    def __str__(self) -> str:
        where = f" (pod {self.finding.pod})" if self.finding.pod else ""
        told = f"{self.finding.kind}{where}: {self.finding.message}"
        return f"{told}\n{self.log}" if self.log else told


@dataclass(slots=True)
class Patient:
    """One wait, and what was found in its course.

    Attributes:
        clock: Seconds, monotonic.
        first: When each kind of fault was first seen.
        latest: What was found last; None before anything was.
    """

    clock: Callable[[], float]
    first: dict[str, float] = field(default_factory=dict)
    latest: Diagnosis | None = None

    def left(self) -> float:
        """Seconds until a fault that was seen is looked at again; 0 if none was, or long ago."""
        ages = [self.clock() - since for since in self.first.values()]
        return min((max(CLOSELY, PATIENCE - age) for age in ages if age < WATCHED), default=0.0)

    def examine(self, kube: Kube, wait: Wait) -> bool:
        """Look once, log what is new, and tell whether waiting longer is of no use."""
        findings = _findings(kube, wait)
        if not findings:
            return False
        finding, now = findings[0], self.clock()
        if finding.kind not in self.first:
            self.latest = Diagnosis(finding, _log(kube, finding))
            logger.warning("the canary has trouble", extra={"found": str(self.latest)})
        since = self.first.setdefault(finding.kind, now)
        if not finding.hopeless or now - since < PATIENCE:
            return False
        self.latest = Diagnosis(finding, _log(kube, finding))
        return True


def _findings(kube: Kube, wait: Wait) -> list[Finding]:
    found = [Finding("revision", wait.trouble, hopeless=True)] if wait.trouble else []
    if wait.selector:
        # To know why is worth nothing against going on: a right that lacks stops no release.
        with contextlib.suppress(CoalmineError):
            found = of_deployments(kube.list(DEPLOYMENTS, wait.selector)) + found
        with contextlib.suppress(CoalmineError):
            pods = kube.list(PODS, wait.selector)
            found = of_pods(pods, kube.list(EVENTS) if pods else []) + found
    return sorted(found, key=lambda finding: not finding.hopeless)


def _log(kube: Kube, finding: Finding) -> str:
    if not (finding.pod and finding.container):
        return ""
    text = kube.log(finding.pod, finding.container, previous=finding.previous, lines=LOG_LINES)
    return text.strip()
