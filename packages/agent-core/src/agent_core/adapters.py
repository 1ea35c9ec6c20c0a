"""What a runner was given: one adapter a port, and how it decides."""

from collections.abc import Sequence

import msgspec

from agent_core.policy import Policy
from agent_core.ports import ChatModel, Clock, Critic, Ids, Journal, Memory, Observer, ToolRunner
from agent_core.reflexion import DEFAULT, AnswerCheck, Reflexion


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
