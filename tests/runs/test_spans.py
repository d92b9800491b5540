"""What a collector is told of a run: names, numbers and codes, in one trace, and not a word of what was said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runs.engine import spans
from runs.models import Run
from tests.conftest import Person, reload

Start = Callable[..., Run]
Work = Callable[[], int]
SECRET = "canary7Qx"
STEPS = [
    {
        "text": SECRET,
        "tool_calls": [
            {"name": "list_files", "arguments": {"path": "."}},
            {"name": "read_file", "arguments": {"path": f"{SECRET}.txt"}},
        ],
    },
    {"text": f"done {SECRET}"},
]


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    def spans(self) -> list[Any]:
        """All spans, in the order of their beginning."""
        spans.flush()
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        found = [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    spans._provider_of.cache_clear()
    yield collector
    spans._provider_of(os.getpid()).shutdown()
    spans._provider_of.cache_clear()
    collector.shutdown()
    collector.server_close()


def told(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_a_run_is_one_trace_of_its_models_and_tools(
    alice: Person, start_run: Start, work: Work, collector: Collector
) -> None:
    run = start_run(alice, f"find {SECRET}", session_key="s_traced", steps=STEPS)

    work()

    seen = collector.spans()
    attempt = seen[0]
    assert sorted(span.name for span in seen) == [
        "chat scripted", "chat scripted", "execute_tool list_files", "execute_tool read_file", "invoke_agent main",
    ]  # fmt: skip
    assert {span.trace_id for span in seen} == {attempt.trace_id}
    assert {span.parent_span_id for span in seen[1:]} == {attempt.span_id}
    about = told(attempt)
    assert about["openintern.organization"] == "acme"
    assert about["openintern.run"] == run.pk
    assert about["gen_ai.conversation.id"] == "s_traced"
    assert about["openintern.status"] == reload(alice, run).status == "completed"
    chat = told(seen[1])
    assert (chat["gen_ai.operation.name"], chat["gen_ai.agent.id"]) == ("chat", "main")
    assert chat["gen_ai.usage.input_tokens"] > 0
    [failed] = [span for span in seen if span.name == "execute_tool read_file"]
    assert (told(failed)["error.type"], failed.status.message) == ("TOOL_ERROR", "TOOL_ERROR")


def test_nothing_that_was_said_leaves(alice: Person, start_run: Start, work: Work, collector: Collector) -> None:
    start_run(alice, f"find {SECRET}", steps=STEPS)

    work()

    assert collector.spans()
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_a_failed_run_is_told_by_its_code(alice: Person, start_run: Start, work: Work, collector: Collector) -> None:
    run = start_run(alice, steps=[{"error": "LLM_AUTH"}])

    work()

    assert reload(alice, run).status == "failed"
    attempt, chat = collector.spans()
    assert told(attempt)["error.type"] == told(chat)["error.type"] == reload(alice, run).error["code"]


def test_without_a_collector_nothing_of_it_is_even_imported(alice: Person, start_run: Start, work: Work) -> None:
    code = (
        "import sys, django; django.setup(); import runs.engine.loop, runs.engine.spans as spans\n"
        "with spans.tool_call('a', 'b') as span: span.failed('X')\n"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], env=_without_collector(), check=False).returncode == 0


def test_a_collector_that_is_away_holds_nobody_up(
    alice: Person, start_run: Start, work: Work, collector: Collector
) -> None:
    collector.shutdown()
    collector.server_close()
    run = start_run(alice, steps=[{"text": "done"}])

    work()

    assert reload(alice, run).status == "completed"


def _without_collector() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
        "DJANGO_SETTINGS_MODULE": "openintern.settings"
    }
