"""Pictures and speech in Chat Completions replies, which stand beside the text. Pure.

Pictures as OpenRouter and Vercel give them (`images`), speech as OpenAI does (`audio`), both whole or in pieces.
"""

import base64
import binascii
import contextlib
from typing import Any, cast

from agent_core.messages import File, Image
from agent_gateway.dialects.data_urls import image_at

_SOUNDS = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg"}


class Media:
    """What one reply shows and speaks."""

    __slots__ = ("_images", "_sound")

    def __init__(self) -> None:
        self._images: list[Image] = []
        self._sound: list[bytes] = []

    def add_images(self, images: list[Any]) -> None:
        """Take `[{"type": "image_url", "image_url": {"url": ...}}]`; what is no picture is passed over."""
        for one in images:
            found = image_at(_url(one))
            if found is not None:
                self._images.append(found)

    def add_audio(self, audio: object) -> str:
        """Take `{"data": ..., "transcript": ...}`, or a piece of it; returns the words."""
        known = cast("dict[str, Any]", audio) if isinstance(audio, dict) else {}
        data = known.get("data")
        if isinstance(data, str) and data:
            with contextlib.suppress(binascii.Error):  # the words are what must not be lost
                self._sound.append(base64.b64decode(data))
        return str(known.get("transcript") or "")

    def parts(self) -> list[Image | File]:
        """All of it, the pictures first."""
        sound = b"".join(self._sound)
        return [*self._images, *([File(data=sound, media_type=_kind(sound))] if sound else [])]


def _url(image: Any) -> str:
    if not isinstance(image, dict):
        return ""
    known = cast("dict[str, Any]", image)
    address = known.get("image_url") or known.get("url")
    if isinstance(address, dict):
        address = cast("dict[str, Any]", address).get("url")
    return address if isinstance(address, str) else ""


def _kind(sound: bytes) -> str:
    """The media type: the reply does not say it, and what is streamed are bare samples."""
    found = next((kind for start, kind in _SOUNDS.items() if sound.startswith(start)), "")
    if not found and sound[:1] == b"\xff" and len(sound) > 1 and sound[1] & 0xE0 == 0xE0:
        found = "audio/mpeg"
    return found or "audio/pcm"
