"""Traces of requests, to an OpenTelemetry collector on a unix socket: a lane has no other sockets (`walls.py`).

Imported only where CLIPLANE_OTLP_GRPC names one. Spans are sent by a thread of the SDK's, in batches; a collector that
is away costs spans and no request. Which traces are kept is for OTEL_TRACES_SAMPLER to say; by default the client's
`traceparent` decides, and one without is kept.
"""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, request
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cliplane.lane.lane import Lane
from cliplane.lane.steps import NO_STEP, Step, Value

EXPORT_TIMEOUT_S = 2
"""Of one attempt to send, with all its repetitions: a lane that ends waits for the last."""

_CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    # Of a unix socket gRPC sends the path, percent-encoded, which servers in Rust refuse as no authority.
    ("grpc.default_authority", "localhost"),
)


class _SpanStep:
    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer, self._span = tracer, span

    @property
    def traceparent(self) -> str:
        it = self._span.get_span_context()
        return f"00-{it.trace_id:032x}-{it.span_id:016x}-{it.trace_flags:02x}"

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    def begin(self, name: str, **attributes: Value) -> Step:
        return self.since(None, name, attributes)

    def since(self, began_ns: int | None, name: str, attributes: dict[str, Value]) -> Step:
        """One that has begun already."""
        within = set_span_in_context(self._span, Context())
        kind = SpanKind.CLIENT if name == "infer" else SpanKind.INTERNAL
        span = self._tracer.start_span(name, within, kind, _named(attributes), start_time=began_ns)
        return _SpanStep(self._tracer, span)

    def end(self, error: str = "", **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """One collector, for one lane."""

    def __init__(self, address: str, version: str) -> None:
        resource = Resource.create({"service.name": "cliplane", "service.version": version})
        exporter = OTLPSpanExporter(
            endpoint=address,
            insecure=True,
            timeout=EXPORT_TIMEOUT_S,
            channel_options=_CHANNEL,  # type: ignore[arg-type]
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("cliplane", version)
        self._propagator = TraceContextTextMapPropagator()

    def install(self, app: Flask, lane: Lane) -> None:
        """Trace every request of this lane's app, from the first byte of its upload to the last of its answer."""

        @app.before_request
        def begin() -> None:
            arrived_ns = time.time_ns()
            began_ns = arrived_ns - int(float(request.headers.get("X-Spool-Seconds", 0)) * 1e9)
            carrier = {name.lower(): value for name, value in request.headers.items()}
            context = self._propagator.extract(carrier, Context())
            attributes: dict[str, Value] = {
                "http.request.method": request.method,
                "url.path": request.path,
                "cliplane.request_id": request.headers.get("X-Request-ID", ""),
            }
            name = f"{request.method} {request.path if request.url_rule else '*'}"
            span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes, start_time=began_ns)
            trace = _SpanStep(self._tracer, span)
            trace.since(began_ns, "upload", {}).end()
            lane.trace = trace
            structlog.contextvars.bind_contextvars(trace_id=trace.trace_id)

        @app.after_request
        def end(response: Response) -> Response:
            def over() -> None:
                status = response.status_code
                lane.trace.end("" if status < 500 else str(status), status=status)
                lane.trace = NO_STEP

            response.call_on_close(over)  # of an event stream: after its last event
            return response

    def close(self) -> None:
        """Send what is there, and end."""
        self._provider.shutdown()


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {f"cliplane.{name}": value for name, value in attributes.items()}
