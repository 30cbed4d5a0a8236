"""The CDEvents 0.5 twins of what happened with a release (https://cdevents.dev/docs/spec).

Every one names the release's trigger by a ``RELATION`` link, and shares the release's chain id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coalmine.events.happening import SOURCE, Happening, What

__all__ = ["SPEC_VERSION", "cdevents_of"]

SPEC_VERSION = "0.5.1"
Subject = tuple[str, str, dict[str, Any]]
"""The type without prefix and version, the subject's id, and its content."""

SERVICE = {
    What.WITHDRAWN: "service.rolledback",
    What.REMOVED: "service.removed",
}
RUN_OUTCOMES = {
    What.PROMOTED: "success",
    What.ROLLED_BACK: "failure",
    What.FAILED: "error",
    What.CANCELLED: "cancel",
    What.DEAD: "error",
}
VERDICTS = {"promote": "success", "rollback": "failure"}
"""Any other verdict, and none at all, is an error of the tests, not of what they tested."""


def cdevents_of(happening: Happening) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the CDEvents that tell of something.

    Yields:
        A suffix for the event's id, and the event.
    """
    suite = happening.fact("suite")  # a pipeline may judge more than once
    for kind, subject, content in _subjects(happening):
        suffix = f"{kind}.{suite}" if suite else kind
        yield suffix, _cdevent(happening, kind, (suffix, subject), content)


def _subjects(happening: Happening) -> Iterator[Subject]:
    what = happening.what
    if what in {What.ACCEPTED, What.RUNNING} or what.is_end:
        yield _run(happening)
    elif what is What.BUILT:
        change = {"id": f"{happening.name}:{happening.fact('version') or 'latest'}"}
        yield "artifact.packaged", happening.artifact, {"change": change}
        yield "artifact.published", happening.artifact, {}
    elif what in {What.JUDGING, What.JUDGED}:
        yield _tests(happening)
    elif what is not What.HELD:
        yield _service(happening)


def _run(happening: Happening) -> Subject:
    content = {"pipelineName": happening.pipeline, "uri": happening.url}
    if happening.what is What.ACCEPTED:
        return "pipelinerun.queued", happening.release_id, content
    if happening.what is What.RUNNING:
        return "pipelinerun.started", happening.release_id, content
    content["outcome"] = RUN_OUTCOMES[happening.what]
    if happening.what is not What.PROMOTED and happening.fact("reason"):
        content["errors"] = happening.fact("reason")
    return "pipelinerun.finished", happening.release_id, content


def _tests(happening: Happening) -> Subject:
    name = happening.fact("suite")
    content: dict[str, Any] = {"environment": _environment(happening), "testSuite": {"id": name}}
    subject = f"{happening.release_id}/{name}"
    if happening.what is What.JUDGING:
        content["trigger"] = {"type": "pipeline", "uri": happening.url}
        return "testsuiterun.started", subject, content
    content["outcome"] = VERDICTS.get(happening.fact("verdict"), "error")
    if happening.fact("reason"):
        content["reason"] = happening.fact("reason")
    return "testsuiterun.finished", subject, content


def _service(happening: Happening) -> Subject:
    content: dict[str, Any] = {"environment": _environment(happening)}
    if happening.what is What.SERVED:
        content["artifactId"] = happening.artifact
        first = happening.fact("first") == "yes"
        return "service.deployed" if first else "service.upgraded", happening.service, content
    if happening.what is What.WITHDRAWN:
        # What serves now is what served before; where that is not known, what was taken away.
        content["artifactId"] = happening.fact("before") or happening.artifact
    return SERVICE[happening.what], happening.service, content


def _environment(happening: Happening) -> dict[str, str]:
    return {"id": happening.fact("namespace") or happening.engine}


def _cdevent(
    happening: Happening, kind: str, names: tuple[str, str], content: object
) -> dict[str, Any]:
    suffix, subject = names
    trigger = {"contextId": happening.trigger["id"]}
    return {
        "context": {
            "specversion": SPEC_VERSION,
            "id": happening.event_id(suffix),
            "source": SOURCE,
            "type": f"dev.cdevents.{kind}.0.3.0",
            "timestamp": happening.at,
            "chainId": happening.chain,
            "links": [{"linkType": "RELATION", "linkKind": "TRIGGER", "target": trigger}],
        },
        "subject": {"id": subject, "source": SOURCE, "content": content},
        "customData": {"release": happening.release_id, "trigger": dict(happening.trigger)},
        "customDataContentType": "application/json",
    }
