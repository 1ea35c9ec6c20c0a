"""Bytes as a URL that holds them (RFC 2397). Pure."""

import base64


def data_url(media_type: str, data: bytes) -> str:
    """`data` as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
