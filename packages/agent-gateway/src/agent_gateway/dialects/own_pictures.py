"""Pictures that a model made, for formats in which an assistant cannot show one: they follow as the user's. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from agent_core.messages import File, Image, Message, Part, Text

_MEDIA = (Image, File)
_WORDS = Text(text="The pictures that you made:")


def shown_by_the_user(messages: Sequence[Message]) -> Sequence[Message]:
    """`messages`, with the pictures of each assistant's message behind it, or behind the results of its calls.

    What a model spoke is left out: its words are beside it, and as the user's it would be another's.
    """
    for message in messages:  # hardly ever is there one, and each request asks
        if message.role == "assistant":
            for part in message.parts:
                if isinstance(part, _MEDIA):
                    return list(_moved(messages))
    return messages


def _moved(messages: Sequence[Message]) -> Iterator[Message]:
    made: list[Part] = []
    for message in messages:
        if made and not message.tool_results:
            yield Message(role="user", parts=(_WORDS, *made))
            made = []
        if message.role == "assistant" and any(isinstance(part, _MEDIA) for part in message.parts):
            made += [part for part in message.parts if isinstance(part, Image)]
            rest = tuple([part for part in message.parts if not isinstance(part, _MEDIA)])
            if rest:
                yield msgspec.structs.replace(message, parts=rest)
        else:
            yield message
    if made:
        yield Message(role="user", parts=(_WORDS, *made))
