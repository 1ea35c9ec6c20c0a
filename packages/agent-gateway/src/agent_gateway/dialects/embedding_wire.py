"""What the wire formats of embeddings share: the words between them and `embeddings`, and vectors as bytes. Pure."""

import binascii
import math
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent_core.embeddings import Purpose

_UNIT_WITHIN = 1e-4
"""Vectors that are this near to length 1 stay as the provider gave them."""


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    model: str
    texts: Sequence[str]
    """None of them empty."""
    purpose: Purpose
    dimensions: int | None = None
    """None: as many as the model has."""


class EmbeddingReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for a batch."""

    vectors: list[bytes]
    """float32, little-endian, in the order of the texts."""
    tokens: int = 0
    """0: not told."""


class EmbeddingDialect(msgspec.Struct, frozen=True, kw_only=True):
    """A wire format and its limits."""

    name: str
    url: str
    """Where the provider is, up to the path."""
    path: Callable[[str], str]
    """From a model to the path of a batch."""
    headers: Callable[[str], Mapping[str, str]]
    """From a key to the headers that carry it."""
    encode: Callable[[EmbeddingRequest], dict[str, object]]
    decode: Callable[[bytes, int], EmbeddingReply]
    """From a body and the number of texts; raises `msgspec.MsgspecError` or `ValueError` where it is no such reply."""
    max_texts: int
    """In one batch."""
    max_tokens: int
    """In one batch, all texts together."""
    dimensions: Mapping[str, int]
    """How many the models have that are known."""


def bearer(key: str) -> dict[str, str]:
    """The usual header for a key."""
    return {"Authorization": f"Bearer {key}"}


def from_base64(text: str) -> bytes:
    """The bytes of a vector of float32.

    Raises:
        ValueError: it is no base64, or no whole number of floats.
    """
    content = binascii.a2b_base64(text, strict_mode=True)
    if len(content) % 4:
        message = f"{len(content)} bytes are no vector of float32"
        raise ValueError(message)
    return content


def from_numbers(numbers: Sequence[float]) -> bytes:
    """The bytes of a vector of float32."""
    floats = array("f", numbers)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def unit(vector: bytes) -> bytes:
    """A vector of length 1 in the same direction; one of zeros stays.

    Raises:
        ValueError: it holds what is no number.
    """
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    length = math.hypot(*floats)
    if not math.isfinite(length):
        message = "a vector holds what is no number"
        raise ValueError(message)
    if length == 0.0 or abs(length - 1.0) <= _UNIT_WITHIN:
        return vector
    return from_numbers([number / length for number in floats])
