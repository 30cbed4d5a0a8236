"""Releases as traces, received by a real HTTP collector."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from coalmine.launcher.traces import spans_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    spans: list[Any]


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector(("127.0.0.1", 0), Handler)
    server.spans = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.integration
def test_a_release_belongs_to_the_trace_of_its_event(
    launched: Callable[..., Any], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{collector.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    code = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"
    exit_task = {"name": "finalize", "code": code.format("promoted"), "output": "outcome"}
    task = {"name": "build", "code": ""}
    launcher = launched({"tasks": [task], "exit": exit_task})
    event = json.loads(launcher.event(name="iris")) | {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert launcher.send(json.dumps(event).encode()).status_code == 202
    launcher.wait_for(lambda: len(collector.spans) == 3)
    root, build, finalize = collector.spans
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert (root.name, root.parent_span_id.hex()) == ("release iris", PARENT)
    assert (build.name, finalize.name) == ("build", "finalize")
    assert build.parent_span_id == finalize.parent_span_id == root.span_id
    assert root.start_time_unix_nano < build.start_time_unix_nano < build.end_time_unix_nano
    assert build.end_time_unix_nano <= root.end_time_unix_nano


@pytest.mark.parametrize(
    "traceparent", ["", "00-1", f"00-{'0' * 32}-{PARENT}-01", f"01-{TRACE}-{PARENT}-01\n"]
)
def test_without_a_traceparent_a_release_is_its_own_trace(traceparent: str) -> None:
    moment = "2026-01-01T00:00:00.000000Z"
    row = dict.fromkeys(("service", "name", "version", "engine", "reason"), "x")
    row |= {"id": "r1", "state": "failed", "requested_at": moment, "ended_at": moment}
    release = {**row, "event_attributes": {"traceparent": traceparent}}
    [one], [again] = list(spans_of(release, [])), list(spans_of(release, []))
    assert one.context is not None
    assert one.context.trace_id not in {0, int(TRACE, 16)}
    assert (one.parent, one.context) == (None, again.context)
    assert one.status.description == "x"
