"""How many tokens a message takes: by the model's own tokenizer, or about how many where nobody knows it. Pure."""

import functools
import re
from collections.abc import Callable

import msgspec

from agent_core.messages import File, Image, Message, Part, Reasoning, Text
from agent_core.tools import ToolResult

_MESSAGE_TOKENS = 8
"""For the role and the marks around a message; the chat templates in use take 3 to 7."""
_MEDIA_TOKENS = 1_600
"""For an image at the size that providers scale it to, or one page of a document."""
_FILE_BYTES_A_TOKEN = 20
"""A PDF takes about 30 KB a page."""

_PIECES = re.compile(r"[A-Z]?[a-z]{1,3}|[!-~]|\s{2,}|\s(?![A-Za-z])")
"""One token each: up to three small letters, perhaps behind a capital; any other ASCII sign; white space, but for a
single one before a word."""
_ASCII = bytes(range(128))


def estimate_tokens(message: Message) -> int:
    """About how many tokens `message` takes: too high rather than too low.

    Measured on SmolLM2's vocabulary of 49,152, a small one (2026-11), as estimate over truth: English and code 1.5 to
    1.9, Russian 1.8, Chinese and Japanese 1.2, numbers and hexadecimal 1.0, German 0.9, Base64 0.8. Larger
    vocabularies need fewer tokens. A tool call or result counts with the JSON it is sent as.
    """
    return _MESSAGE_TOKENS + sum(_of_part(part, _of_text) for part in message.parts)


def counted_by(count: Callable[[str], int]) -> Callable[[Message], int]:
    """Counts messages with a model's own tokenizer; images and files are estimated all the same.

    `count`: how many tokens a text takes, such as `lambda text: len(tokenizer.encode(text).ids)`. Texts that were
    counted lately are not counted again.
    """
    known = functools.lru_cache(maxsize=4_096)(count)
    return lambda message: _MESSAGE_TOKENS + sum(_of_part(part, known) for part in message.parts)


def _of_part(part: Part, of_text: Callable[[str], int]) -> int:
    if isinstance(part, Image | File):
        return _MEDIA_TOKENS + len(part.data) // _FILE_BYTES_A_TOKEN * isinstance(part, File)
    if isinstance(part, Text | Reasoning):
        return of_text(part.text)
    if isinstance(part, ToolResult) and part.attachments:
        bare = msgspec.structs.replace(part, attachments=())
        return _of_part(bare, of_text) + sum(_of_part(one, of_text) for one in part.attachments)
    return of_text(msgspec.json.encode(part).decode())


def _of_text(text: str) -> int:
    wide_bytes = len(text.encode(errors="surrogatepass").translate(None, _ASCII))
    return len(_PIECES.findall(text)) + (3 * wide_bytes + 3) // 4
