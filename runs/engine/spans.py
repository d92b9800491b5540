"""OpenTelemetry spans of what agents do, named as the conventions for generative AI name them.

Off unless a collector is configured by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SDK_DISABLED`): then nothing of it is imported. All attempts at a run are in one trace,
whose id is made from the run's. Spans hold names, numbers and codes; what was asked, answered or sent to a tool, never.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, Final

import structlog

from openintern import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

    from openintern.tenancy.models import Organization
    from runs.llm.types import Answer, Request
    from runs.models import Run

logger = structlog.get_logger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FLUSH_MS: Final = 2000


class Span:
    """What is said of one thing that is going on; says it to nobody where tracing is off."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def tell(self, attributes: dict[str, Any]) -> None:
        """Add attributes; those that are None say nothing."""
        if self._span is not None:
            self._span.set_attributes(_said(attributes))

    def answered(self, answer: Answer) -> None:
        """Say how a model call went, in numbers."""
        usage = answer.usage
        self.tell(
            {
                "gen_ai.response.finish_reasons": [answer.finish_reason],
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
                "openintern.cost_usd": None if usage.cost is None else float(usage.cost),
            }
        )

    def failed(self, code: str) -> None:
        """Say that it failed, by its code: messages may hold what nobody else should read."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415  see the module's docstring

            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)


@contextmanager
def attempt(org: Organization, run: Run) -> Iterator[Span]:
    """One worker's work on a run."""
    tracer = _tracer()
    if tracer is None:
        yield Span()
        return
    about = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": run.agent_id,
        "gen_ai.agent.name": run.agent_id,
        "gen_ai.conversation.id": run.session.key,
        "gen_ai.provider.name": run.config["model"]["provider"],
        "openintern.organization": org.slug,
        "openintern.run": run.pk,
        "openintern.attempt": run.attempt,
    }
    with _going_on(tracer, f"invoke_agent {run.agent_id}", about, parent=_trace_of(run)) as span:
        yield span


@contextmanager
def model_call(request: Request, *, agent_id: str) -> Iterator[Span]:
    """One question of an agent's to a model, its retries included."""
    tracer = _tracer()
    if tracer is None:
        yield Span()
        return
    spec = request.spec
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.agent.id": agent_id,
        "gen_ai.provider.name": spec.provider,
        "gen_ai.request.model": _model_name(spec.provider, spec.model),
        "gen_ai.request.temperature": spec.temperature,
        "gen_ai.request.max_tokens": spec.max_tokens,
    }
    with _going_on(tracer, f"chat {about['gen_ai.request.model']}", about, is_client=True) as span:
        yield span


@contextmanager
def tool_call(name: str, call_id: str) -> Iterator[Span]:
    """One call of a tool."""
    tracer = _tracer()
    if tracer is None:
        yield Span()
        return
    about = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
    }
    with _going_on(tracer, f"execute_tool {name}", about) as span:
        yield span


@contextmanager
def _going_on(
    tracer: Tracer, name: str, about: dict[str, Any], *, parent: Any = None, is_client: bool = False
) -> Iterator[Span]:
    """A span for as long as the block takes; an exception that leaves it is named by its class alone."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  see the module's docstring

    kind = SpanKind.CLIENT if is_client else SpanKind.INTERNAL
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=_said(about), record_exception=False, set_status_on_exception=False
    ) as started:
        span = Span(started)
        try:
            yield span
        except BaseException as error:
            span.failed(getattr(error, "code", None) or type(error).__name__)
            raise


def _trace_of(run: Run) -> Any:
    """Return the context in which all attempts at the run are: a parent that was never a span of anybody's."""
    from opentelemetry import trace  # noqa: PLC0415  see the module's docstring

    digest = hashlib.sha256(f"{run.pk}:{run.root_span_id}".encode()).digest()
    parent = trace.SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:24]),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _model_name(provider: str, model: str) -> str:
    """Return the model's name; the doubles are told what to say by theirs."""
    return model[:200] if provider not in {"scripted", "mock"} else provider


def is_configured() -> bool:
    """Whether the operator has named a collector."""
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not is_disabled and any(os.environ.get(name, "").strip() for name in _ENDPOINTS)


def _tracer() -> Tracer | None:
    provider = _provider_of(os.getpid()) if is_configured() else None
    return None if provider is None else provider.get_tracer("openintern", __version__)


def flush() -> None:
    """Send what has been collected; waits no longer than two seconds."""
    if is_configured() and (provider := _provider_of(os.getpid())) is not None:
        provider.force_flush(_FLUSH_MS)


@cache
def _provider_of(pid: int) -> TracerProvider | None:
    """Return what collects and sends this process's spans; a fork gets its own, for the thread that sends stays behind."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        logger.warning("a collector is configured and OpenTelemetry isn't installed: pip install openintern[otel]")
        return None
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "openintern", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # a worker ends like any child of multiprocessing: `atexit` is never heard there
    Finalize(provider, provider.shutdown, exitpriority=10)
    return provider
