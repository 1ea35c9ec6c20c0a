"""What becomes of one tool call: refused, asked about, delegated, or run until its deadline.

`drive` performs a run's effects and calls this for those of tools. Nothing here decides what is legal: it journals.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent_core import agents, planning, proposal
from agent_core import effects as eff
from agent_core import events as ev
from agent_core.attempt import attempt
from agent_core.errors import ConfigurationError
from agent_core.inner_calls import InnerCalls
from agent_core.limits import is_over_calls, is_spent
from agent_core.messages import Message
from agent_core.policy import Verdict
from agent_core.ports import ToolContext
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolResult, ToolSpec

if TYPE_CHECKING:
    from agent_core.adapters import Delegation
    from agent_core.drive import Drive


async def execute(drive: "Drive", effect: eff.ExecuteTool) -> None:
    """Perform one call, and journal what came back or why it is not made now."""
    state = drive.state.calls[effect.tool_call_id]
    call = state.call
    if state.unresolved or drive.adapters.planning:
        fault = _fault(drive, state)
        if fault is not None:
            await drive.commit(fault)
            return
    spec = drive.spec(call.name)
    if spec is not None:
        refusal = _refusal(drive, effect, spec, call)
        if refusal is not None:
            await drive.commit(refusal)
            return
        if call.name in drive.adapters.agents and not call.malformed:
            await _delegate(drive, call)
            return
        if spec.asks and (question := _question(spec, call)):
            await drive.commit(
                ev.InputRequested(at=drive.now(), tool_call_id=call.tool_call_id, question=question)
            )
            return
        if not spec.is_repeatable:
            await drive.commit(ev.ToolStarted(at=drive.now(), tool_call_id=call.tool_call_id))
            if drive.state.is_over:  # cancelled by another process meanwhile: the intent was not journaled
                return
    if spec is not None and spec.calls_tools:
        await _run_with_tools(drive, call, spec, effect)
        return
    scope = drive.lone_scope(call.tool_call_id) if spec is not None else None
    result = await attempt(drive.adapters.tools, call, spec, _context(drive, call, effect), scope)
    await drive.keep(ev.tool_back(result, at=drive.now()))


async def _run_with_tools(drive: "Drive", call: ToolCall, spec: ToolSpec, effect: eff.ExecuteTool) -> None:
    """Run a tool that calls others. Its deadline is a scope of its own, for what it did until then has to be told."""
    inner = InnerCalls(drive, effect, call)
    try:
        result = await attempt(drive.adapters.tools, call, spec, _context(drive, call, effect, inner))
        inner.end()
        await drive.keep(ev.tool_back(inner.labelled(result), at=drive.now(), spent=inner.spent))
    finally:
        inner.settle()


def _fault(drive: "Drive", state: planning.CallState) -> ev.Event | None:
    """Why a call of a plan, or one that proposes a plan, cannot be made; None: it can."""
    if state.unresolved:
        failed = planning.failed_call(state, "unresolved_reference", state.unresolved)
    elif state.call.name == proposal.NAME:
        calls = tuple(one.call for one in drive.state.calls.values())
        fault = drive.plan(Message(role="assistant", parts=calls))
        reason = fault if isinstance(fault, str) else "The tools have changed; propose the plan again."
        failed = planning.failed_call(state, "invalid_plan", reason)
    else:
        return None
    return None if failed.result is None else ev.tool_back(failed.result, at=drive.now())


def _refusal(drive: "Drive", effect: eff.ExecuteTool, spec: ToolSpec, call: ToolCall) -> ev.Event | None:
    """Why this call is not made now, as the event that says so; None lets it run."""
    state = drive.state
    if state.limits.tool_calls is not None:
        place = list(state.calls).index(call.tool_call_id)
        if is_over_calls(state.limits, state.spent, len(state.calls), place):
            return over_limit(drive, call, f"it may make {state.limits.tool_calls} tool calls")
    if effect.interrupted and not spec.is_repeatable:  # even if approved: that was for running it once
        reason = f"{call.name} began before the interruption and may have done its work; run it again?"
        return ev.ApprovalRequested(at=drive.now(), tool_call_id=call.tool_call_id, reason=reason)
    if effect.approved or call.malformed:  # what is malformed is refused by the tools, and asks nobody
        return None
    decision = drive.adapters.policy(state, spec, call)
    match decision.verdict:
        case Verdict.ALLOW:
            return None
        case Verdict.ASK:
            return ev.ApprovalRequested(
                at=drive.now(), tool_call_id=call.tool_call_id, reason=decision.reason
            )
        case Verdict.DENY:
            content = f"Policy denied this call: {decision.reason}"
            result = ToolResult(tool_call_id=call.tool_call_id, content=content, error="denied")
            return ev.tool_back(result, at=drive.now())


def _question(spec: ToolSpec, call: ToolCall) -> str:
    """What a call wants to ask a person; empty: it asks nobody, or wrongly, and the tool will say how."""
    question = None if call.malformed else call.arguments.get(spec.asks)
    return question.strip() if isinstance(question, str) else ""


def over_limit(drive: "Drive", call: ToolCall, why: str) -> ev.Event:
    """The failure of a call that a limit forbids, or ended."""
    content = f"The run is over a limit: {why}. Answer with what you have."
    result = ToolResult(tool_call_id=call.tool_call_id, content=content, error="limit_reached")
    return ev.tool_back(result, at=drive.now())


def _context(
    drive: "Drive", call: ToolCall, effect: eff.ExecuteTool, inner: InnerCalls | None = None
) -> ToolContext:
    state = drive.state
    return ToolContext(
        run_id=state.run_id,
        session_id=state.session_id,
        idempotency_key=f"{state.run_id}/{state.turns}/{call.tool_call_id}",
        attempt=effect.attempt,
        interrupted=effect.interrupted,
        tools=inner,
    )


# ── sub-agents ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _delegate(drive: "Drive", call: ToolCall) -> None:
    """Journal which run the call becomes; that it is owed now follows from the state."""
    if is_spent(_begun(drive, call, "").limits):
        await drive.commit(over_limit(drive, call, f"nothing is left for the sub-agent {call.name}"))
        return
    run_id = drive.adapters.ids.new("run")
    await drive.commit(ev.RunDelegated(at=drive.now(), tool_call_id=call.tool_call_id, run_id=run_id))


async def await_run(drive: "Drive", effect: eff.AwaitRun) -> None:
    """Drive the run that a call was delegated to. Where it waits for a person, so does the call, without a task."""
    call = drive.state.calls[effect.tool_call_id].call
    run = await _delegation(drive).perform(_begun(drive, call, effect.run_id))
    if not run.is_over:
        drive.resting = (*drive.resting, effect.run_id)
        return
    agent = drive.adapters.agents.get(call.name)
    result = agents.outcome(call.tool_call_id, run, () if agent is None else agent.labels)
    await drive.commit(ev.tool_back(result, at=drive.now(), spent=run.spent))


async def stop_run(drive: "Drive", effect: eff.AwaitRun, why: str) -> None:
    """End the run that a call was delegated to, for the time of who delegated is up."""
    call = drive.state.calls[effect.tool_call_id].call
    run = await _delegation(drive).revoke(_begun(drive, call, effect.run_id), by="its caller", reason=why)
    event = over_limit(drive, call, why)
    await drive.commit(replace(event, spent=run.spent))


def revocations(drive: "Drive") -> list[ev.RunStarted]:
    """The runs that were delegated to and are not back, each as it was or would be started."""
    return [
        _begun(drive, call.call, call.run_id)
        for call in drive.state.calls.values()
        if call.status is planning.DELEGATED
    ]


def _begun(drive: "Drive", call: ToolCall, run_id: str) -> ev.RunStarted:
    state: RunState = drive.state
    agent = drive.adapters.agents.get(call.name)
    if agent is None:
        raise ConfigurationError(
            f"run {state.run_id} called the sub-agent {call.name!r}, and this runner has none of that name; "
            "drive it with a runner that does"
        )
    to_come = [one for one in planning.asked(state.calls) if one.result is None]  # should a person allow it
    among = sum(one.call.name in drive.adapters.agents for one in (*planning.ready(state.calls), *to_come))
    model = (agent.model or drive.adapters.model).profile.name
    return agents.begun(state, call, agent, run_id=run_id, among=max(1, among), at=drive.now(), model=model)


def _delegation(drive: "Drive") -> "Delegation":
    delegation = drive.adapters.delegation
    if delegation is None:
        raise ConfigurationError("this runner has no sub-agents")
    return delegation
