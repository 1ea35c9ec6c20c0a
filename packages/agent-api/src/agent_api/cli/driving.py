"""Driving one run from the command line: start it or take it up again, show it, say how it ended."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio

from agent_api.cli.first_run import offer_weights
from agent_api.cli.terminal import TerminalView, conclude
from agent_api.composition import Agent, open_agent
from agent_api.errors import NotFoundError
from agent_api.exit_codes import EXIT_INTERRUPTED
from agent_api.problems import outcome
from agent_api.settings import Settings
from agent_core import events as ev
from agent_core.errors import AgentError
from agent_core.state import RunState
from agent_core.transitions import evolve
from agent_gateway.errors import WeightsError

Decide: TypeAlias = Callable[[RunState, float], Sequence[ev.Event]]
"""From the state of a run and the time to the commands of a person."""


def _nothing(_: RunState, __: float) -> Sequence[ev.Event]:
    return ()


def run_prompt(settings: Settings, prompt: str, *, session_id: str, as_json: bool) -> int:
    """Start a run and drive it; returns the exit code."""
    view = TerminalView(as_json=as_json)

    async def start_and_drive(agent: Agent) -> RunState:
        run_id = await agent.runner.start(
            prompt, session_id=session_id, instructions=settings.instructions, observers=(view,)
        )
        return await _drive(agent, run_id, view)

    return _interruptible(settings, view, start_and_drive)


def fork_run(settings: Settings, run_id: str, at_seq: int, prompt: str | None, *, as_json: bool) -> int:
    """Fork a run behind event `at_seq` and drive the fork; returns the exit code."""
    view = TerminalView(as_json=as_json)

    async def fork(agent: Agent) -> RunState:
        view.run_id = await agent.runner.fork(run_id, at_seq, prompt=prompt)
        sys.stderr.write(f"fork {view.run_id}\n")
        state = await agent.runner.load(view.run_id)
        if state.is_over:
            await _show_end(agent, view)
            return state
        return await _drive(agent, view.run_id, view)

    return _interruptible(settings, view, fork)


def resume_run(settings: Settings, run_id: str, *, as_json: bool, decide: Decide = _nothing) -> int:
    """Take up a run where its journal ends; returns the exit code.

    Args:
        settings: The settings; model and address may differ from those that the run began with.
        run_id: The run. Empty: the newest that is unfinished, else the newest.
        as_json: Print JSON lines: the events from here on, and always the one that ended the run.
        decide: The commands of a person to send first, given the state.
    """
    view = TerminalView(as_json=as_json)

    async def resume(agent: Agent) -> RunState:
        chosen = run_id or await _newest(agent)
        state = await agent.runner.load(chosen)
        view.run_id = chosen
        seen = state.seq
        for command in decide(state, agent.runner.now()):
            state = await agent.runner.send(view.run_id, command, seen=seen)
        if state.is_over:
            await _show_end(agent, view)
            return state
        return await _drive(agent, view.run_id, view)

    return _interruptible(settings, view, resume)


async def _newest(agent: Agent) -> str:
    newest = ""
    async for head in agent.journal.heads():
        newest = newest or head.run_id
        state = await agent.runner.load(head.run_id)
        if not state.is_over and not agent.ownership.is_owned(head.run_id):
            return head.run_id
    if not newest:
        raise NotFoundError("there is no run to resume yet; `agent run PROMPT` starts one")
    return newest


async def _show_end(agent: Agent, view: TerminalView) -> None:
    """Show how a run ended that is over: its answer, and its last event."""
    state = RunState(run_id=view.run_id)
    async for stored in agent.journal.read(view.run_id):
        state = evolve(state, stored.event)
        if state.is_over or (isinstance(stored.event, ev.ModelAnswered) and not view.as_json):
            view.on_event(stored, state)


async def _drive(agent: Agent, run_id: str, view: TerminalView) -> RunState:
    with agent.ownership.owning(run_id):
        return await agent.runner.drive(run_id, observers=(view,))


def _interruptible(
    settings: Settings, view: TerminalView, work: Callable[[Agent], Awaitable[RunState]]
) -> int:
    async def opened() -> RunState:
        async with open_agent(settings, on_progress=view.say) as agent:
            return await work(agent)

    try:
        return conclude(anyio.run(opened))
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted{_hint(view)}\n")
        return EXIT_INTERRUPTED
    except AgentError as error:
        sys.stderr.write(f"error: {error}{_hint(view)}\n")
        if isinstance(error, WeightsError) and view.run_id and offer_weights(settings):
            return resume_run(settings, view.run_id, as_json=view.as_json)
        return outcome(error).exit_code


def _hint(view: TerminalView) -> str:
    """How to go on, where there is a run to go on with."""
    return f"\n  the run is kept: agent runs resume {view.run_id}" if view.run_id else ""
