"""A memory that knows nothing and records what it was told, and one that keeps sessions."""

from collections.abc import Sequence

from agent_core.errors import ContextTooLongError
from agent_core.messages import Message
from agent_core.ports import HydrateRequest
from agent_core.state import RunState


class NoMemory:
    """Hydrates nothing; `remembered` holds the outcomes."""

    def __init__(self) -> None:
        self.remembered: list[RunState] = []

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:  # noqa: ARG002  # the port's signature
        """Nothing."""
        return ()

    async def remember(self, outcome: RunState) -> None:
        """Record the outcome; told twice of one run, keep the later."""
        self.remembered = [kept for kept in self.remembered if kept.run_id != outcome.run_id] + [outcome]


class SessionMemory:
    """Remembers whole runs by session, and hydrates the newest that fit. A token is a word, and two a message."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, tuple[Message, ...]]] = {}

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:
        """The latest runs of the session that fit into the budget, oldest first.

        Raises:
            ContextTooLongError: the input alone is over the budget.
        """
        left = request.budget_tokens - _tokens(request.input) - len(request.instructions.split())
        if left < 0:
            raise ContextTooLongError(
                "of this memory", request.budget_tokens - left, limit=request.budget_tokens
            )
        kept: list[Message] = []
        for run in reversed(self._sessions.get(request.session_id, {}).values()):
            left -= sum(map(_tokens, run))
            if left < 0:
                break
            kept = [*run, *kept]
        return tuple(kept)

    async def remember(self, outcome: RunState) -> None:
        """Keep what was said in the run, without the context that it was given; told twice, keep the later."""
        messages = list(outcome.messages)
        begin = max((place for place, one in enumerate(messages) if one == outcome.input), default=0)
        self._sessions.setdefault(outcome.session_id, {})[outcome.run_id] = tuple(messages[begin:])


def _tokens(message: Message) -> int:
    results = sum(len(result.content.split()) for result in message.tool_results)
    return 2 + len(message.text.split()) + results
