"""What follows from a state without work in the world: verdicts by rule, and the critic where the rules let pass.

A critic that fails, or takes too long, never loses a run: what it would have judged is accepted, with a note.
"""

from collections.abc import Awaitable, Callable

import anyio

from agent_core import effects as eff
from agent_core import events as ev
from agent_core import reflexion
from agent_core.adapters import Adapters
from agent_core.limits import Limits
from agent_core.ports import Critic
from agent_core.reflexion import Judgement
from agent_core.state import Phase, RunState
from agent_core.transitions import owed

JUDGED = (Phase.REASONING, Phase.REFLECTING, Phase.RESPONDING)
"""Phases that may owe a verdict. A tuple: it is compared by identity, and hashing a member is a call into Python."""


def by_rule(adapters: Adapters, state: RunState) -> ev.Event | None:
    """The verdict that the state owes; None: it owes none, or the critic has the last word."""
    if state.phase not in JUDGED:
        return None
    at, rules = adapters.clock.now(), adapters.reflexion
    verdict: ev.Event
    match owed(state):
        case (eff.JudgeResults(),):
            verdict = reflexion.judge_results(state, at, rules, escalate=adapters.escalate)
        case (eff.CheckAnswer(),):
            verdict = reflexion.check_answer(state, at, rules, adapters.answer_check)
        case (eff.ConcludeAtLimit(limit=limit),):
            return at_limit(state.limits, limit, at)
        case (eff.AskModel(final=False),):
            limit = reflexion.stuck(state, rules, escalate=adapters.escalate)
            return at_limit(state.limits, limit, at) if limit else None
        case _:
            return None
    if adapters.critic is not None and isinstance(verdict, ev.ResultsAccepted | ev.AnswerAccepted):
        return None
    return verdict


def at_limit(limits: Limits, limit: str, at: float) -> ev.Event:
    """What happens at a limit: a last turn, or the end."""
    if limits.last_turn:
        return ev.LimitReached(at=at, limit=limit)
    return ev.RunFailed(at=at, code="limit_reached", reason=f"the limit on {limit} was reached")


async def by_critic(critic: Critic, adapters: Adapters, state: RunState) -> ev.Event:
    """The critic's verdict on the results that are back, or on the answer, where the rules let them pass."""
    verdict = by_rule(adapters, state)
    if verdict is not None:
        return verdict
    rules, now = adapters.reflexion, adapters.clock.now
    if state.phase is Phase.REFLECTING:
        judgement = await _asked(lambda: critic.judge(state), rules.critic_timeout_s)
        return reflexion.from_judgement(state, now(), judgement, rules, escalate=adapters.escalate)
    judgement = await _asked(lambda: critic.check(state), rules.critic_timeout_s)
    return reflexion.from_answer_judgement(state, now(), judgement, rules)


async def _asked(ask: Callable[[], Awaitable[Judgement]], timeout_s: float) -> Judgement:
    try:
        with anyio.fail_after(timeout_s):
            return await ask()
    except TimeoutError:
        return Judgement(reason="the critic took too long")
    except Exception as error:  # noqa: BLE001  # a critic's failure must not lose the run
        return Judgement(reason=f"the critic failed: {type(error).__name__}: {error}")
