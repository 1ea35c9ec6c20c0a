"""Pictures and documents as OpenAI's requests hold them, in the words of agent-core."""

import base64
import binascii
from typing import Literal

from agent_api.errors import InvalidRequestError
from agent_core.messages import File, Image

_SCHEMES = ("http://", "https://")


def image_of(url: str, detail: Literal["auto", "low", "high"], where: str) -> Image:
    """A picture by its address.

    Raises:
        InvalidRequestError: neither an http(s) address nor a `data:` URL in base64.
    """
    level = "" if detail == "auto" else detail
    if url.startswith(_SCHEMES):
        return Image(url=url, detail=level)
    media_type, data = data_of(url, where)
    return Image(data=data, media_type=media_type, detail=level)


def file_of(text: str, *, url: str = "", file_id: str = "", name: str = "", where: str) -> File:
    """A document: as a `data:` URL, by its address or by the provider's id of it.

    Raises:
        InvalidRequestError: it is none of them.
    """
    if file_id:
        return File(file_id=file_id, name=name)
    if url and not url.startswith(_SCHEMES):
        raise InvalidRequestError("`file_url` is no http(s) address", param=where)
    if url:
        return File(url=url, name=name)
    media_type, data = data_of(text, where)
    return File(data=data, media_type=media_type, name=name)


def data_of(url: str, where: str) -> tuple[str, bytes]:
    """The media type and the bytes of a `data:` URL in base64 (RFC 2397).

    Raises:
        InvalidRequestError: it is none.
    """
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidRequestError(
            "this is neither an http(s) address nor a `data:` URL in base64", param=where
        )
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InvalidRequestError(f"the base64 cannot be read: {error}", param=where) from error
    return head[len("data:") : -len(";base64")].partition(";")[0], data
