"""What the daemon counts, for Prometheus. Never labelled by key, run or tenant: their number has no bound."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from agent_api import __version__
from agent_core.chat import Delta
from agent_core.events import ModelTurn, ToolBack
from agent_core.ports import StoredEvent
from agent_core.state import RunState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one daemon; also an observer of its runs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ("route", "method", "status")
        self._requests = Histogram(
            "agentd_http_request_duration_seconds",
            "Seconds from a request to the beginning of its reply.",
            names,
            registry=self.registry,
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0),
        )
        self._refused = Counter(
            "agentd_refused_total", "Requests that the gate refused.", ("status",), registry=self.registry
        )
        self._ended = Counter(
            "agentd_runs_ended_total", "Runs that ended.", ("phase",), registry=self.registry
        )
        self._tokens = Counter(
            "gen_ai_client_tokens_total", "Tokens of models.", ("type",), registry=self.registry
        )
        self._tools = Counter(
            "agentd_tool_calls_total", "Calls that came back.", ("error",), registry=self.registry
        )
        self.runs = Gauge("agentd_runs_driven", "Runs that are being driven.", registry=self.registry)
        self.streams = Gauge("agentd_streams_open", "Streams of events.", registry=self.registry)
        self.tasks = Gauge("agentd_tasks", "Tasks of the event loop.", registry=self.registry)
        self.threads = Gauge("agentd_threads", "Threads of the process.", registry=self.registry)
        ProcessCollector(registry=self.registry)  # its memory, processor time and descriptors
        build = Gauge("agentd_build_info", "The version.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)
        self._started = Gauge(
            "agentd_start_time_seconds", "When the daemon started, since the epoch.", registry=self.registry
        )
        self._started.set(time.time())

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, method, str(status)).observe(seconds)

    def refused(self, status: int) -> None:
        """Count a request that the gate refused."""
        self._refused.labels(str(status)).inc()

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Count what happened in a run."""
        event = stored.event
        if isinstance(event, ModelTurn):
            self._tokens.labels("input").inc(event.usage.prompt_tokens)
            self._tokens.labels("output").inc(event.usage.output_tokens + event.usage.reasoning_tokens)
        elif isinstance(event, ToolBack):
            self._tools.labels("yes" if event.error else "no").inc()
        if state.is_over:
            self._ended.labels(state.phase.value).inc()

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Deltas are not counted."""

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
