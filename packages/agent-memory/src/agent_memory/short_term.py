"""The window of a session: what of a conversation stays in a prompt. Pure; `session_memory` gives it the conversation."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from agent_core.errors import ContextTooLongError
from agent_core.messages import Message
from agent_memory.tokens import estimate_tokens

CountTokens: TypeAlias = Callable[[Message], int]
"""How many tokens a message takes, with what surrounds it in the prompt."""

Turn: TypeAlias = tuple[Message, ...]
"""What belongs together: a person's message and all that was said and done until the next one."""


def turns(messages: Iterable[Message]) -> list[Turn]:
    """The conversation, cut before each message of a person. A tool's result stays with its call."""
    cut: list[list[Message]] = []
    for message in messages:
        if (message.role == "user" and not message.note) or not cut:
            cut.append([])
        cut[-1].append(message)
    return [tuple(turn) for turn in cut]


class ShortTermWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Chooses what stays in a prompt of `budget_tokens`: the pinned, and the newest whole turns."""

    budget_tokens: int
    model: str
    """For the error's words only."""
    count_tokens: CountTokens = estimate_tokens

    def room(self, new: Message, pinned: Sequence[Message] = ()) -> int:
        """How many tokens are left for turns beside what must stay.

        Raises:
            ContextTooLongError: the input and the pinned messages alone are over the budget.
        """
        left = self.budget_tokens - sum(map(self.count_tokens, (*pinned, new)))
        if left < 0:
            raise ContextTooLongError(self.model, self.budget_tokens - left, self.budget_tokens)
        return left

    def fit(
        self, messages: Sequence[Message], new: Message, pinned: Sequence[Message] = ()
    ) -> tuple[Message, ...]:
        """The messages that belong before the input `new`: system messages, the pinned, then the turns that fit.

        The turns kept are those at the end, without gaps, so the first that does not fit ends the window. What is
        pinned and still in a turn of the window is not said twice.

        Raises:
            ContextTooLongError: the input, the system messages and the pinned alone are over the budget.
        """
        kept_always = [message for message in messages if message.role == "system"]
        kept_always += [message for message in pinned if message not in kept_always]
        left = self.room(new, kept_always)
        kept: list[Turn] = []
        for turn in reversed(turns(message for message in messages if message.role != "system")):
            left -= sum(map(self.count_tokens, turn))
            if left < 0:
                break
            kept.append(turn)
        said = [message for turn in reversed(kept) for message in turn]
        return (*(message for message in kept_always if message not in said), *said)
