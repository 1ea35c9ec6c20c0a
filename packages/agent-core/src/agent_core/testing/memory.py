"""A memory that knows nothing and records what it was told."""

from collections.abc import Sequence

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
