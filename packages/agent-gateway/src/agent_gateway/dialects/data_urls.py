"""Bytes as a URL that holds them (RFC 2397). Pure."""

import base64
import binascii

from agent_core.messages import Image


def data_url(media_type: str, data: bytes) -> str:
    """`data` as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def image_at(url: str) -> Image | None:
    """The picture that `url` holds or leads to, or None where it is neither."""
    if not url.startswith("data:"):
        return Image(url=url) if url.startswith(("https://", "http://")) else None
    head, _, text = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    try:
        data = base64.b64decode(text) if encoding.endswith("base64") else b""
    except binascii.Error:
        return None
    return Image(data=data, media_type=media_type or "image/png") if data else None
