"""What a message or a tool's result may hold beside text: pictures, files, and what only a provider understands."""

from typing import Literal, TypeAlias

import msgspec

from agent_core.json_types import JsonObject


class Image(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="image"
):
    """A picture, by exactly one of its bytes, its address and the provider's id of a file that it holds."""

    data: bytes = b""
    url: str = ""
    file_id: str = ""
    media_type: str = "image/png"
    """Of `data`; servers that fetch a `url` look for themselves."""
    detail: Literal["", "low", "high"] = ""
    """How closely to look, where that can be said."""


class File(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="file"
):
    """A document, a sound or a film, by exactly one of its bytes, its address and the provider's id of it."""

    data: bytes = b""
    url: str = ""
    file_id: str = ""
    media_type: str = "application/pdf"
    name: str = ""


class Opaque(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="type", tag="opaque"
):
    """What only the provider understands, such as a search that it ran itself: sent back in its place, unchanged."""

    origin: str
    """The wire format that it is of; others leave it out."""
    item: JsonObject


Attachment: TypeAlias = Image | File | Opaque
"""What a tool's result may hold beside its text."""
