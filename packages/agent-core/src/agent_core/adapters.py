"""What a runner was given: one adapter a port, and how it decides."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from agent_core import events as ev
from agent_core.agents import SubAgent
from agent_core.policy import Policy
from agent_core.ports import ChatModel, Clock, Critic, Ids, Journal, Memory, Observer, Snapshots, ToolRunner
from agent_core.reflexion import DEFAULT, AnswerCheck, Reflexion
from agent_core.state import RunState


class Delegation(Protocol):
    """How delegated runs are driven: the runner, as a drive sees it."""

    async def perform(self, started: ev.RunStarted) -> RunState:
        """Start the run if there is none of that id, drive it, and return the state it rests in."""
        ...

    async def revoke(self, started: ev.RunStarted, *, by: str, reason: str) -> RunState:
        """Cancel the run if it is not over; one that does not exist is started as cancelled, so nobody else can."""
        ...


class Adapters(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner was given; see `Runner`."""

    model: ChatModel
    tools: ToolRunner
    memory: Memory
    journal: Journal
    policy: Policy
    clock: Clock
    ids: Ids
    observers: Sequence[Observer] = ()
    planning: bool = False
    reflexion: Reflexion = DEFAULT
    escalate: bool = True
    critic: Critic | None = None
    answer_check: AnswerCheck | None = None
    agents: Mapping[str, SubAgent] = {}
    """The sub-agents, by name; each is offered to the model as a tool."""
    snapshots: Snapshots | None = None
    delegation: Delegation | None = None
    """There where there are sub-agents."""
