"""The calls that a tool makes of others while it runs, such as a snippet that a model wrote. Each passes the same gate as a
call of the model's own: policy, limits, deadline. Their results are the tool's; the model and the journal see its result alone.

What is asked about is not made from within: there is nobody to ask before the tool has ended, and it cannot be begun in
its middle. The model makes that call itself, and a person sees it with its exact arguments.
"""

from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from agent_core import effects as eff
from agent_core.attempt import attempt
from agent_core.fields import leaves
from agent_core.history import History
from agent_core.json_types import JsonObject
from agent_core.limits import Spent
from agent_core.messages import Message
from agent_core.naming import names
from agent_core.planning import RETURNED, CallState
from agent_core.policy import Verdict
from agent_core.ports import ToolContext
from agent_core.state import RunState
from agent_core.taint import Provenance
from agent_core.tools import ArgumentRole, Label, ToolCall, ToolResult, ToolSpec

if TYPE_CHECKING:
    from agent_core.drive import Drive


InnerMade: TypeAlias = list[tuple[ToolCall, ToolResult]]
"""The calls that tools made which are over, with the labels of what came back and without its content."""


class InnerCalls:
    """The calls from within one call. Serves `ToolContext.tools`."""

    def __init__(self, drive: "Drive", effect: eff.ExecuteTool, outer: ToolCall) -> None:
        """`outer` is the call that they are made from."""
        self._drive = drive
        self._effect = effect
        self._outer = outer
        self._written = "\n".join(leaf for _, leaf in leaves(outer.arguments))
        self._begun = 0
        self._made: list[tuple[ToolCall, ToolResult]] = []
        self._is_over = False

    @property
    def spent(self) -> Spent:
        """The calls that were made."""
        return Spent(tool_calls=len(self._made))

    def end(self) -> None:
        """The outer call has its result: what it left running makes no more calls, for nobody would count or see them."""
        self._is_over = True

    def settle(self) -> None:
        """What was made is in the journal and counts as spent, or is lost with the drive."""
        self._is_over = True
        self._drive.inner_calls -= len(self._made)
        self._drive.made_within += [(call, replace(result, content="")) for call, result in self._made]

    def labelled(self, result: ToolResult) -> ToolResult:
        """The result of the outer call with the labels of all that went into it."""
        labels = [label for _, inner in self._made for label in inner.labels]
        return replace(result, labels=tuple(dict.fromkeys((*result.labels, *labels)))) if labels else result

    async def __call__(self, name: str, arguments: JsonObject) -> ToolResult:
        """Make one call; what is against it is a result with `error` set."""
        state = self._drive.state
        self._begun += 1
        call = ToolCall(
            tool_call_id=f"{self._outer.tool_call_id}/{self._begun}", name=name, arguments=arguments
        )
        spec = self._drive.adapters.tools.spec(name)
        refused = self._refusal(spec, call)
        if refused is not None:
            return refused
        context = ToolContext(
            run_id=state.run_id,
            session_id=state.session_id,
            idempotency_key=f"{state.run_id}/{state.turns}/{call.tool_call_id}",
            attempt=self._effect.attempt,
            interrupted=self._effect.interrupted,
        )
        place = len(self._made)
        self._made.append((call, _under_way(call, spec)))  # it counts, and taints, from here on
        self._drive.inner_calls += 1
        result = await attempt(self._drive.adapters.tools, call, spec, context)
        self._made[place] = call, result
        return result

    def _refusal(self, spec: ToolSpec | None, call: ToolCall) -> ToolResult | None:
        """Why this call is not made; None: it may be."""
        if self._is_over:
            return _refused(call, "too_late", f"{self._outer.name} has ended; call {call.name} yourself.")
        if spec is None:
            return _refused(call, "unknown_tool", f"There is no tool {call.name!r} to be called from here.")
        if spec.calls_tools or spec.asks:
            return _refused(
                call, "call_it_yourself", f"{call.name} cannot be called from here; call it yourself."
            )
        limits, spent = self._drive.state.limits, self._drive.state.spent
        if limits.tool_calls is not None and spent.tool_calls + self._drive.inner_calls >= limits.tool_calls:
            why = f"The run may make {limits.tool_calls} tool calls, and has. Answer with what you have."
            return _refused(call, "limit_reached", why)
        decision = self._drive.adapters.policy(self._as_seen_by(call, spec), spec, call)
        if decision.verdict is Verdict.DENY:
            return _refused(call, "denied", f"Policy denied this call: {decision.reason}")
        if decision.verdict is Verdict.ASK:
            why = f"A person has to be asked about {call.name}: {decision.reason}. Call it yourself, and they are."
            return _refused(call, "approval_needed", why)
        return None

    def _as_seen_by(self, call: ToolCall, spec: ToolSpec) -> RunState:
        """The run as a policy is to see it: what was read from within was read."""
        state = self._drive.state
        messages = list(state.messages)
        calls = dict(state.calls)
        # What earlier snippets called counts on, as if it had been called beside them: each would begin to count anew.
        for made, result in (*self._drive.made_within, *self._made):
            messages.append(Message(role="assistant", parts=(made,)))
            messages.append(Message(role="tool", parts=(result,)))
        for made, result in self._made:
            calls[made.tool_call_id] = CallState(call=made, status=RETURNED, result=result)
        read = replace(state, messages=History(messages))
        sources = self._sources(read, spec, call)
        return replace(read, calls={**calls, call.tool_call_id: CallState(call=call, sources=sources)})

    def _sources(self, read: RunState, spec: ToolSpec, call: ToolCall) -> tuple[str, ...]:
        """The untrusted results that a value may have been computed from.

        The outer call may have cut, joined or decoded what it read, so a value is only free of it where it stands in the
        outer call's own arguments (a model wrote them before), or somebody vouches for it.
        """
        untrusted = tuple(
            made.tool_call_id for made, result in self._made if Label.RETURNS_UNTRUSTED in result.labels
        )
        if not untrusted:
            return ()
        provenance = Provenance(read)
        for argument, given in call.arguments.items():
            if spec.roles.get(argument) is ArgumentRole.CONTENT:
                continue
            for _, leaf in leaves(given):
                if not names(self._written, leaf) and not provenance.vouches(leaf):
                    return untrusted
        return ()


def _refused(call: ToolCall, code: str, why: str) -> ToolResult:
    return ToolResult(tool_call_id=call.tool_call_id, content=why, error=code)


def _under_way(call: ToolCall, spec: ToolSpec | None) -> ToolResult:
    return ToolResult(tool_call_id=call.tool_call_id, content="", labels=() if spec is None else spec.labels)
