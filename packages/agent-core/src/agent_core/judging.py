"""What follows from a state without work in the world: verdicts by rule, and the critic where the rules let pass.

A critic that fails, or takes too long, never loses a run: what it would have judged is accepted, with a note.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio

from agent_core import effects as eff
from agent_core import events as ev
from agent_core import reflexion
from agent_core.adapters import Adapters
from agent_core.limits import Limits
from agent_core.planning import CallState
from agent_core.ports import Critic
from agent_core.reflexion import Judgement
from agent_core.state import REASONING, REFLECTING, RESPONDING, Phase, RunState
from agent_core.transitions import owed

AT_ONCE = 0.0
"""The time of a verdict by rule: it follows at once from the event before, and has that one's."""


def _before_asking(adapters: Adapters, state: RunState, effects: Sequence[eff.Effect]) -> ev.Event | None:
    """A run at a limit, or one that gets nowhere, does not ask as before."""
    if state.limit_reached:
        return None
    effect = effects[0]
    if type(effect) is eff.ConcludeAtLimit:  # `isinstance` would ask a metaclass first
        return at_limit(state.limits, effect.limit, AT_ONCE)
    limit = reflexion.stuck(state, adapters.reflexion, escalate=adapters.escalate)
    return at_limit(state.limits, limit, AT_ONCE) if limit else None


def _on_results(adapters: Adapters, state: RunState, _: Sequence[eff.Effect]) -> ev.Event | None:
    verdict = reflexion.judge_results(state, AT_ONCE, adapters.reflexion, escalate=adapters.escalate)
    return None if adapters.critic is not None and type(verdict) is ev.ResultsAccepted else verdict


def _on_answer(adapters: Adapters, state: RunState, _: Sequence[eff.Effect]) -> ev.Event | None:
    if state.answer_accepted:
        return None
    verdict = reflexion.check_answer(state, AT_ONCE, adapters.reflexion, adapters.answer_check)
    return None if adapters.critic is not None and type(verdict) is ev.AnswerAccepted else verdict


BY_RULE: Mapping[Phase, Callable[[Adapters, RunState, Sequence[eff.Effect]], ev.Event | None]] = {
    REASONING: _before_asking,
    REFLECTING: _on_results,
    RESPONDING: _on_answer,
}
"""The verdict that a state of this phase owes, of which it owes such effects. None: none, or the critic has the last word."""


def at_limit(limits: Limits, limit: str, at: float) -> ev.Event:
    """What happens at a limit: a last turn, or the end."""
    if limits.last_turn:
        return ev.LimitReached(at=at, limit=limit)
    return ev.RunFailed(at=at, code="limit_reached", reason=f"the limit on {limit} was reached")


async def by_critic(critic: Critic, adapters: Adapters, state: RunState) -> ev.Event:
    """The critic's verdict on the results that are back, or on the answer, where the rules let them pass."""
    verdict = BY_RULE[state.phase](adapters, state, owed(state))
    if verdict is not None:
        return verdict
    rules, now = adapters.reflexion, adapters.clock.now
    if state.phase is REFLECTING:
        judgement = await _asked(lambda: critic.judge(state), rules.critic_timeout_s)
        return reflexion.from_judgement(
            state,
            now(),
            judgement,
            rules,
            escalate=adapters.escalate,
            may_repeat=lambda call: _may_repeat(adapters, call),
        )
    judgement = await _asked(lambda: critic.check(state), rules.critic_timeout_s)
    return reflexion.from_answer_judgement(state, now(), judgement, rules)


def _may_repeat(adapters: Adapters, call: CallState) -> bool:
    """Whether a call does no harm if it is made again: by what its tool is, or by what it said of its failure."""
    spec = adapters.tools.spec(call.call.name)
    return spec is None or spec.is_repeatable or (call.result is not None and call.result.retryable)


async def _asked(ask: Callable[[], Awaitable[Judgement]], timeout_s: float) -> Judgement:
    try:
        with anyio.fail_after(timeout_s):
            return await ask()
    except TimeoutError:
        return Judgement(reason="the critic took too long")
    except Exception as error:  # noqa: BLE001  # a critic's failure must not lose the run
        return Judgement(reason=f"the critic failed: {type(error).__name__}: {error}")
