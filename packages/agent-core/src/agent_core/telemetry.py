"""Runs as OpenTelemetry GenAI spans and metrics: an observer, with the extra `agent-core[otel]`.

Owns what of a run is shown to an operator, and under which names. Knows no exporter: that is the SDK's, which the
application sets up. Must not know what a run owes to whom, and changes nothing.

- One `invoke_agent` span an *activation*: from the run's start, or from what took it up again, to its next rest. A run
  that waits for days for a person has no open span; the next activation is a new root with a link to the one before
  it, and every span carries `agent_core.run.id`, so that another process, which has no link to give, is found too.
- Below it a `chat` span a model turn, an `execute_tool` span a call, and a `plan` span around a turn that proposed one.
- Times are those of the events, so a journal that is played again gives the same spans. A turn starts when the run came
  to reason, a call when nothing was left to wait for (or at its intent, where one is journaled). What was begun before
  a crash has no start that anybody saw: its span is a point, `agent_core.start_known` is false, and no duration counts.
- Prompts, answers, arguments, results and reasons are shown only where asked for. What a model or a tool could have
  written into a name or a code is shown only if it looks like one.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

import msgspec
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode

from agent_core import events as ev
from agent_core.chat import Delta
from agent_core.effects import AskModel, ExecuteTool
from agent_core.messages import File, FinishReason, Image, Message, Opaque, Part, Reasoning, Text, Usage
from agent_core.ports import Clock, StoredEvent
from agent_core.state import Phase, RunState
from agent_core.system import SystemClock
from agent_core.tools import ToolCall
from agent_core.transitions import owed

CONVENTION = "open-telemetry/semantic-conventions-genai at 004902b8cb70, status Development, read 2026-11-22"
"""The conventions that names, kinds and buckets follow: docs/gen-ai/gen-ai-{spans,agent-spans,metrics}.md."""

TOKEN_BUCKETS = tuple(4**power for power in range(14))
SECONDS_BUCKETS = tuple(0.01 * 2**power for power in range(14))

MAX_OPEN = 10_000
"""Activations that are followed at once; beyond it the one that was quiet longest is ended where it was seen last."""

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
_NAME = re.compile(r"[\w.:/-]{1,100}", re.ASCII)
_OTHER = "_OTHER"

_Turn: TypeAlias = ev.ModelAnswered | ev.ToolsCalled | ev.PlanProposed
_Asked: TypeAlias = ev.ApprovalRequested | ev.InputRequested | ev.RunEscalated
_Stop: TypeAlias = ev.ModelFailed | ev.RunFailed | ev.RunCancelled
_Attributes: TypeAlias = dict[str, str | int | float | bool | tuple[str, ...]]

_MAKES_READY = (ev.ToolsCalled, ev.PlanProposed, ev.ResultsAccepted, ev.ResultsRetried, ev.ApprovalGranted)
"""Events behind which calls can be executed that could not before; only then are they looked for."""


class _Activation(msgspec.Struct, kw_only=True):
    """What is kept of a run while it is on the move."""

    span: Span
    context: Context
    shared: _Attributes
    """What every span of the run carries."""
    last_at: float
    """The time of the last event; where clocks differ and one is behind, it stands still."""
    phase: Phase = Phase.IDLE
    writer: str = ""
    usage: Usage = Usage()
    turn_at: float | None = None
    """When the model's turn began; None: no turn is under way, or it began before anybody looked."""
    first_chunk_s: float | None = None
    calls: dict[str, float] = {}
    """When each call under way began."""


class TelemetryObserver:
    """Tells OpenTelemetry of every run that it observes; for one event loop."""

    def __init__(
        self,
        *,
        agent_name: str = "",
        capture_content: bool = False,
        redact: Callable[[str], str] | None = None,
        clock: Clock | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        max_open: int = MAX_OPEN,
    ) -> None:
        """`redact` gets each captured text (JSON, for messages and arguments) and returns what may be shown.

        `clock` is the runner's: it times the first chunk of a reply, for which there is no event. The providers are
        the application's global ones unless given.
        """
        known_as = ("agent_core", version("agent-core"))
        self._tracer = trace.get_tracer(*known_as, tracer_provider)
        meter = metrics.get_meter(*known_as, meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._durations = _seconds(meter, "gen_ai.client.operation.duration", "GenAI operation duration.")
        first_chunk = "gen_ai.client.operation.time_to_first_chunk"
        self._first_chunks = _seconds(meter, first_chunk, "Time to receive the first chunk of a reply.")
        self._agent_name = agent_name
        self._redact = (redact or str) if capture_content else None
        self._clock = clock or SystemClock()
        self._max_open = max_open
        self._open: OrderedDict[str, _Activation] = OrderedDict()
        self._before: OrderedDict[str, SpanContext] = OrderedDict()

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Follow the run to `state`."""
        activation, event = self._followed(stored, state), stored.event
        match event:
            case ev.ModelAnswered() | ev.ToolsCalled() | ev.PlanProposed():
                self._turn_ended(activation, event, state)
            case ev.ToolStarted():
                activation.calls[event.tool_call_id] = activation.last_at
            case ev.ToolReturned() | ev.ToolFailed():
                result = event.result
                error = (result.error or _OTHER) if isinstance(event, ev.ToolFailed) else ""
                self._call_ended(activation, result.tool_call_id, state, error=error, content=result.content)
            case ev.ApprovalRequested() | ev.InputRequested() | ev.RunEscalated():
                _person_asked(activation, event)
            case ev.ModelFailed() | ev.RunFailed() | ev.RunCancelled():
                self._stopped(activation, event, state)
            case ev.LimitReached() if activation.turn_at is not None:  # its time was up
                self._chat(activation, activation.context, {}, error="limit_reached")
            case _:
                pass
        _note_what_begins(activation, event, state)
        if state.is_over or state.phase is Phase.AWAITING:
            self._end(stored.run_id, keep_link=not state.is_over)

    def on_delta(self, run_id: str, delta: Delta) -> None:  # noqa: ARG002  # the port's signature
        """Time the first chunk of a turn; what it says is in the answer."""
        activation = self._open.get(run_id)
        if activation is None or activation.turn_at is None or activation.first_chunk_s is not None:
            return
        activation.first_chunk_s = max(0.0, self._clock.now() - activation.turn_at)

    def close(self) -> None:
        """End what is open, each run where it was seen last. For the end of the process."""
        while self._open:
            self._end(next(iter(self._open)), keep_link=False)

    # ── activations ──────────────────────────────────────────────────────────────────────────────────────────────

    def _followed(self, stored: StoredEvent, state: RunState) -> _Activation:
        """The activation that the event belongs to. A command, and a run's first event, have a writer of their own."""
        driven = not isinstance(stored.event, (ev.RunStarted, *ev.COMMANDS))
        activation = self._open.get(stored.run_id)
        if driven and activation is not None and activation.writer not in {"", stored.writer}:
            self._end(stored.run_id, keep_link=True)  # cut off; another drive took the run up
            activation = None
        if activation is None:
            activation = self._begin(stored, state)
        if driven:
            activation.writer = stored.writer
        activation.last_at, activation.phase = max(activation.last_at, state.updated_at), state.phase
        self._open.move_to_end(stored.run_id)
        return activation

    def _begin(self, stored: StoredEvent, state: RunState) -> _Activation:
        while len(self._open) >= self._max_open:
            self._end(next(iter(self._open)), keep_link=True)
        provider, _, model = state.model.rpartition(":")
        shared: _Attributes = {
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider) or _OTHER,
            "gen_ai.request.model": model,
            "gen_ai.conversation.id": state.session_id,
            "agent_core.run.id": stored.run_id,
        }
        own: _Attributes = {"agent_core.run.resumed": stored.seq > 1}
        name = state.agent or self._agent_name
        if name:
            own["gen_ai.agent.name"] = name
        caller = self._open.get(state.parent_id)
        before = self._before.pop(stored.run_id, None)
        span = self._tracer.start_span(
            f"invoke_agent {name}".strip(),
            None if caller is None else caller.context,
            attributes={"gen_ai.operation.name": "invoke_agent", **shared, **own},
            links=() if before is None else (Link(before),),
            start_time=_ns(state.updated_at),
        )
        context = trace.set_span_in_context(span)
        activation = _Activation(span=span, context=context, shared=shared, last_at=state.updated_at)
        self._open[stored.run_id] = activation
        return activation

    def _end(self, run_id: str, *, keep_link: bool) -> None:
        activation = self._open.pop(run_id)
        span = activation.span
        span.set_attributes(
            {**_usage_attributes(activation.usage), "agent_core.run.phase": activation.phase.value}
        )
        span.end(_ns(activation.last_at))
        if keep_link:
            self._before[run_id] = span.get_span_context()
            while len(self._before) > self._max_open:
                self._before.popitem(last=False)

    # ── what was done ────────────────────────────────────────────────────────────────────────────────────────────

    def _turn_ended(self, activation: _Activation, event: _Turn, state: RunState) -> None:
        reason = event.finish_reason if isinstance(event, ev.ModelAnswered) else FinishReason.TOOL_CALLS
        finish = reason.value
        attributes: _Attributes = {
            "gen_ai.response.model": state.answered_by,
            "gen_ai.response.finish_reasons": (finish,),
            **_usage_attributes(event.usage),
        }
        if self._redact is not None:
            attributes |= {
                "gen_ai.system_instructions": self._redact(state.instructions),
                "gen_ai.input.messages": self._redact(_as_json(state.messages[:-1])),
                "gen_ai.output.messages": self._redact(_as_json((event.message,), finish_reason=finish)),
            }
        activation.usage += event.usage
        parent, plan = activation.context, None
        if isinstance(event, ev.PlanProposed):
            start = activation.last_at if activation.turn_at is None else activation.turn_at
            named: _Attributes = {"gen_ai.operation.name": "plan", **activation.shared}
            plan = self._tracer.start_span("plan", parent, attributes=named, start_time=_ns(start))
            parent = trace.set_span_in_context(plan)
        self._chat(activation, parent, attributes, usage=event.usage)
        if plan is not None:
            plan.end(_ns(activation.last_at))

    def _chat(
        self,
        activation: _Activation,
        parent: Context,
        attributes: _Attributes,
        *,
        usage: Usage | None = None,
        error: str = "",
    ) -> None:
        """The span of a turn that ended now, and what is counted of it."""
        at, start, first = activation.last_at, activation.turn_at, activation.first_chunk_s
        activation.turn_at = activation.first_chunk_s = None
        if first is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = first
        name = f"chat {activation.shared['gen_ai.request.model']}".strip()
        named = {"gen_ai.operation.name": "chat", **activation.shared, **attributes}
        span = self._span(name, parent, named, start=start, at=at, error=error, kind=SpanKind.CLIENT)
        counted = {key: value for key, value in named.items() if key in _COUNTED_BY}
        within = trace.set_span_in_context(span)
        if start is not None:
            failed = {"error.type": _name(error)} if error else {}
            self._durations.record(at - start, {**counted, **failed}, within)
        if first is not None:
            self._first_chunks.record(first, counted, within)
        if usage is not None and usage.total_tokens:  # none at all: nobody counted
            for key, kind in _TOKEN_TYPES.items():
                tokens = _usage_attributes(usage)[key]
                self._tokens.record(tokens, {**counted, "gen_ai.token.type": kind}, within)

    def _call_ended(
        self,
        activation: _Activation,
        tool_call_id: str,
        state: RunState,
        *,
        error: str,
        content: str = "",
    ) -> None:
        known = state.calls.get(tool_call_id)
        name = _OTHER if known is None or error == "unknown_tool" else _name(known.call.name)
        attributes: _Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": _name(tool_call_id),
            "gen_ai.tool.type": "function",
            **activation.shared,
        }
        if self._redact is not None and known is not None:
            arguments = msgspec.json.encode(known.call.arguments).decode()
            attributes["gen_ai.tool.call.arguments"] = self._redact(arguments)
            attributes["gen_ai.tool.call.result"] = self._redact(content)
        at, start = activation.last_at, activation.calls.pop(tool_call_id, None)
        self._span(f"execute_tool {name}", activation.context, attributes, start=start, at=at, error=error)

    def _stopped(self, activation: _Activation, event: _Stop, state: RunState) -> None:
        """End what was under way. A cancelled run is not an error; what it was doing did not come to its end."""
        error = "cancelled" if isinstance(event, ev.RunCancelled) else event.code
        if activation.turn_at is not None or isinstance(event, ev.ModelFailed):
            self._chat(activation, activation.context, {}, error=error)
        for tool_call_id in tuple(activation.calls):
            self._call_ended(activation, tool_call_id, state, error=error)
        if not isinstance(event, ev.RunCancelled):
            activation.span.set_attribute("error.type", _name(error))
            reason = None if self._redact is None else self._redact(event.reason)
            activation.span.set_status(Status(StatusCode.ERROR, reason))

    def _span(
        self,
        name: str,
        parent: Context,
        attributes: Mapping[str, Any],
        *,
        start: float | None,
        at: float,
        error: str,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        begun = at if start is None else start
        span = self._tracer.start_span(name, parent, kind, attributes, start_time=_ns(begun))
        if start is None:
            span.set_attribute("agent_core.start_known", value=False)
        if error:
            span.set_attribute("error.type", _name(error))
            span.set_status(StatusCode.ERROR)
        span.end(_ns(at))
        return span


def _seconds(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    buckets = SECONDS_BUCKETS
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets)


def _note_what_begins(activation: _Activation, event: ev.Event, state: RunState) -> None:
    if state.phase is Phase.REASONING:
        activation.calls.clear()  # of a plan that was dropped
        if activation.turn_at is None and isinstance(owed(state)[0], AskModel):
            activation.turn_at = activation.last_at
    elif isinstance(event, _MAKES_READY):
        for effect in owed(state):
            if isinstance(effect, ExecuteTool):
                activation.calls.setdefault(effect.tool_call_id, activation.last_at)


def _person_asked(activation: _Activation, event: _Asked) -> None:
    activation.calls.pop(event.tool_call_id, None)
    attributes = {"gen_ai.tool.call.id": _name(event.tool_call_id)}
    activation.span.add_event(f"agent_core.{ev.event_type(event)}", attributes, _ns(activation.last_at))


_COUNTED_BY = {
    f"gen_ai.{key}" for key in ("operation.name", "provider.name", "request.model", "response.model")
}
_TOKEN_TYPES = {"gen_ai.usage.input_tokens": "input", "gen_ai.usage.output_tokens": "output"}


def _usage_attributes(usage: Usage) -> dict[str, int]:
    """By the conventions what a cache gave or took is part of the input, and reasoning part of the output."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens + usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _as_json(messages: Iterable[Message], **more: str) -> str:
    """By the conventions' schemas of input and output messages."""
    shown = [{"role": one.role, "parts": [_part(part) for part in one.parts], **more} for one in messages]
    return msgspec.json.encode(shown).decode()


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    if isinstance(part, Reasoning):
        return {"type": "reasoning", "content": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_call", "id": part.tool_call_id, "name": part.name, "arguments": part.arguments}
    if isinstance(part, Image | File):  # never the bytes
        return {"type": "uri", "modality": part.media_type, "uri": part.url or part.file_id}
    if isinstance(part, Opaque):
        return {"type": "opaque", "origin": part.origin}
    return {"type": "tool_call_response", "id": part.tool_call_id, "response": part.content}


def _name(text: str) -> str:
    """The text, if it looks like a name or a code: one that a model made up could be anything."""
    return text if _NAME.fullmatch(text) else _OTHER


def _ns(at: float) -> int:
    """Seconds since the epoch in nanoseconds, to the microsecond: a float holds no more."""
    return round(at * 1_000_000) * 1_000
