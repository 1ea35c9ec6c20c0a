"""OpenTelemetry for the daemon and the command line: the SDK set up by its own environment variables.

Needs the extra `agent-api[otel]`. What is told of a run, and under which names, is in `agent_core.telemetry`.
"""

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from agent_api import __version__
from agent_core.telemetry import TelemetryObserver


def telemetry_observer() -> TelemetryObserver:
    """An observer that exports spans and metrics of runs; without prompts and answers."""
    resource = Resource.create({"service.name": "agentd", "service.version": __version__})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider((PeriodicExportingMetricReader(OTLPMetricExporter()),), resource=resource)
    return TelemetryObserver(tracer_provider=tracers, meter_provider=meters)
