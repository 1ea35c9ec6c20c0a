"""What leaves a window, and what is left of it: the plan, and a summary of the sentences that say most. Pure.

A window that is full is emptied down to a part at once and not turn by turn, so the boundary, and with it the summary
and the prompt's beginning, stay the same for many runs: servers keep the beginning of a prompt in their caches.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from agent_core.messages import Message, user
from agent_core.recollection import recalled, without_recalled
from agent_memory.short_term import CountTokens, Turn

KEPT_SHARE = 0.5
"""Of the room, when a window is emptied."""
_SENTENCES = re.compile(r"[^.!?\n。！？]+[.!?。！？]*")  # noqa: RUF001  # full-width signs end sentences too
_WORDS = re.compile(r"\w+")
_MIN_WORDS = 4
_MAX_CHARS = 400
HEADING = "Of what was said before, in short:"


def first_kept(turn_tokens: Sequence[int], room_tokens: int, began: int) -> int:
    """The index of the first turn of the window.

    Args:
        turn_tokens: Of all turns, oldest first.
        room_tokens: For turns.
        began: The index at which the window began so far: it stays while all behind it fits.
    """
    if sum(turn_tokens[began:]) <= room_tokens:
        return began
    left = room_tokens * KEPT_SHARE
    first = len(turn_tokens)
    while first > began and turn_tokens[first - 1] <= left:
        first -= 1
        left -= turn_tokens[first]
    return first


def extract(turns: Sequence[Turn], max_tokens: int, count_tokens: CountTokens) -> str:
    """The sentences of `turns` that say most, in their order, within `max_tokens`; one a line, with its speaker.

    A sentence says the more, the rarer its words are in these turns; a later one counts a little more.
    """
    said = [
        (message.role, sentence.strip()[:_MAX_CHARS])
        for turn in turns
        for message in turn
        if message.role in {"user", "assistant"} and not message.note
        for sentence in _SENTENCES.findall(without_recalled(message.text))
        if len(_WORDS.findall(sentence)) >= _MIN_WORDS
    ]
    words = [set(_WORDS.findall(sentence.casefold())) for _, sentence in said]
    frequency = Counter(word for some in words for word in some)

    def weight(place: int) -> float:
        rarity = sum(math.log(1 + len(said) / frequency[word]) for word in words[place])
        return rarity / math.sqrt(4 + len(words[place])) * (1 + 0.2 * place / len(said))

    lines = [f"- {role}: {sentence}" for role, sentence in said]
    left = max_tokens - count_tokens(summary(""))
    chosen: list[int] = []
    for place in sorted(range(len(said)), key=weight, reverse=True):
        cost = count_tokens(user(lines[place]))
        if cost <= left:
            chosen.append(place)
            left -= cost
    return "\n".join(lines[place] for place in sorted(chosen))


def summary(text: str) -> Message:
    """The message that stands for what left the window; marked, so it is never remembered as if it had been said."""
    return user(recalled(f"{HEADING}\n{text}"))
