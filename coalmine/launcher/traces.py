"""Each release as an OpenTelemetry trace: a span for it and one for each step, by OTLP over HTTP.

The spans are made when a release has ended, from what the ledger has: their ids follow from the
release's, so that a trace which is told twice is the same trace. Where the event that asked for the
release carries a ``traceparent``, as CloudEvents' distributed tracing extension has it, they
belong to its trace.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from coalmine import __version__
from coalmine._base.errors import CoalmineError, InputError
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.tables import RELEASES, TASKS

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["spans_of", "tracing"]

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""
GOOD = frozenset({"promoted", "succeeded", "skipped"})


@contextlib.contextmanager
def tracing(ledger: Ledger, environ: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """Give what tells of a release that has ended; it does nothing where no collector is named.

    Args:
        ledger: Where releases stand.
        environ: Where OpenTelemetry's own variables name the collector.

    Raises:
        InputError: A collector is named, and what speaks to it is not installed.
    """
    if not any(environ.get(name) for name in ENDPOINTS):
        yield lambda _: None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "traces need OpenTelemetry",
            field=ENDPOINTS[1],
            fix='pip install "coalmine[otel]", or unset it',
        ) from None
    resource = Resource.create(
        {"service.name": "coalmine-launcher", "service.version": __version__}
    )
    # It sends from a thread of its own, and drops what a collector that is away does not take.
    processor = BatchSpanProcessor(OTLPSpanExporter())

    def tell(release_id: str) -> None:
        try:
            release, tasks = _read(ledger, release_id)
        except CoalmineError as error:
            logger.warning("release %s is not traced: %s", release_id, error.message)
            return
        for span in spans_of(release, tasks, resource):
            processor.on_end(span)

    try:
        yield tell
    finally:
        processor.shutdown()  # type: ignore[no-untyped-call]


def _read(ledger: Ledger, release_id: str) -> tuple[Mapping[Any, Any], list[Mapping[Any, Any]]]:
    with ledger.connect() as connection:
        one = select(RELEASES).where(RELEASES.c.id == release_id)
        release = connection.execute(one).mappings().one()
        tasks = select(TASKS).where(TASKS.c.release_id == release_id).order_by(TASKS.c.position)
        return release, [*connection.execute(tasks).mappings()]


def spans_of(
    release: Mapping[Any, Any], tasks: list[Mapping[Any, Any]], resource: Resource | None = None
) -> Iterator[ReadableSpan]:
    """Make the spans of a release that has ended: its own, and one for each step that ran.

    Args:
        release: Its row in the ledger.
        tasks: The rows of its steps.
        resource: Who tells.
    """
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 - an extra

    found = TRACEPARENT.fullmatch(release["event_attributes"].get("traceparent", ""))
    trace = int(found[1], 16) if found else _number(release["id"], 16)
    flags = TraceFlags(TraceFlags.SAMPLED)

    def context(name: str) -> SpanContext:
        return SpanContext(trace, _number(f"{release['id']}/{name}", 8), False, flags)

    root = context("")
    parent = SpanContext(trace, int(found[2], 16), True, flags) if found else None
    about = {f"coalmine.{name}": release[name] for name in ("service", "name", "version", "engine")}
    about |= {"coalmine.release": release["id"], "coalmine.state": release["state"]}
    begun = (release["requested_at"], release["ended_at"])
    name = f"release {release['service']}"
    yield _span(
        name, place=(root, parent), lasted=begun, about=about, row=release, resource=resource
    )
    for task in tasks:
        if task["started_at"] and task["ended_at"]:
            said = {"coalmine.release": release["id"], "coalmine.attempts": task["attempts"]}
            said["coalmine.state"] = task["state"]
            place, lasted = (context(task["name"]), root), (task["started_at"], task["ended_at"])
            yield _span(
                task["name"], place=place, lasted=lasted, about=said, row=task, resource=resource
            )


def _span(
    name: str,
    *,
    place: tuple[Any, Any],
    lasted: tuple[str, str],
    about: Mapping[str, Any],
    row: Mapping[Any, Any],
    resource: Resource | None,
) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - an extra
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    code = StatusCode.OK if row["state"] in GOOD else StatusCode.ERROR
    why = row.get("reason", row.get("message", "")) if code is StatusCode.ERROR else None
    return ReadableSpan(
        name,
        context=place[0],
        parent=place[1],
        resource=resource,
        attributes=about,
        status=Status(code, why),
        start_time=_nanoseconds(lasted[0]),
        end_time=_nanoseconds(lasted[1]),
    )


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size])


def _nanoseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1_000_000) * 1000
