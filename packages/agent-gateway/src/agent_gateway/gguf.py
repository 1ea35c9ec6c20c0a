"""Reads the header of a GGUF weight file: enough to refuse a wrong or truncated file before an engine maps it, and
to know what the model is. Never reads the weights. Format: ggml's docs/gguf.md, versions 2 and 3.
"""

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent_gateway.errors import WeightsError

_MAGIC = b"GGUF"
_Value: TypeAlias = "int | float | bool | str | list[_Value]"

# ggml value type -> struct format; 8 is a string and 9 an array.
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_TEMPLATE = "tokenizer.chat_template"
_LONGEST_KEPT_ARRAY = 64  # vocabularies have 50,000 items and more, and nobody here asks for them

# ggml tensor type -> (weights a block, bytes a block); types that are missing here are measured by offset alone.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    20: (32, 18),
    23: (256, 136),
    30: (1, 2),
}


class GgufInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says of a model."""

    architecture: str
    name: str
    context_tokens: int
    """The context the model was trained with."""
    parameters: int
    has_chat_template: bool
    template_has_tools: bool = False
    """Whether the chat template has a place for tools."""
    kept_values_per_token: int = 0
    """Keys and values kept of each token of the context, over all layers; 0: the header does not say."""


def read_info(path: Path, *, advice: str = "give the path of a whole GGUF file") -> GgufInfo:
    """The header of the GGUF file at `path`, checked against the length of the file.

    Raises:
        WeightsError: missing, unreadable, not GGUF, or shorter than its header says; ends with `advice`.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise WeightsError(path, "it does not begin with the GGUF mark", advice)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Header(data).info(path, advice)
    except FileNotFoundError:
        raise WeightsError(path, "there is no such file", advice) from None
    except OSError as error:
        raise WeightsError(path, error.strerror or "it cannot be read", advice) from error
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise WeightsError(path, "its header is damaged or cut off", advice) from error


class _Header:
    """A cursor over the header. Reading past the end raises `struct.error`."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def info(self, path: Path, advice: str) -> GgufInfo:
        version, tensors, entries = self._unpack("<IQQ")
        if version not in {2, 3}:
            raise WeightsError(path, f"its GGUF version is {version}, not 2 or 3", advice)
        metadata: dict[str, _Value] = {}
        for _ in range(entries):
            key = self._string()
            metadata[key] = self._value(self._unpack("<I")[0])
        parameters, weight_bytes = self._tensors(tensors)
        alignment = _integer(metadata, "general.alignment", 32)
        needed = -(-self._at // alignment) * alignment + weight_bytes
        if len(self._data) < needed:
            reason = f"it has {len(self._data):,} bytes where its header promises {needed:,} (cut off?)"
            raise WeightsError(path, reason, advice)
        architecture = str(metadata.get("general.architecture", ""))
        return GgufInfo(
            architecture=architecture,
            name=str(metadata.get("general.name", path.stem)),
            context_tokens=_integer(metadata, f"{architecture}.context_length", 2_048),
            parameters=parameters,
            has_chat_template=_TEMPLATE in metadata,
            template_has_tools="tools" in str(metadata.get(_TEMPLATE, "")),
            kept_values_per_token=_kept_values(metadata, architecture),
        )

    def _tensors(self, count: int) -> tuple[int, int]:
        """The number of weights, and the bytes from the first to the end of the last."""
        parameters = end = 0
        for _ in range(count):
            self._string()
            (dimensions,) = self._unpack("<I")
            size = 1
            for length in self._unpack(f"<{dimensions}Q"):
                size *= length
            kind, offset = self._unpack("<IQ")
            per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
            end = max(end, offset + size // per_block * block_bytes)
            parameters += size
        return parameters, end

    def _value(self, kind: int) -> _Value:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            (scalar,) = self._unpack(_SCALARS[kind])
            return scalar
        item_kind, length = self._unpack("<IQ")
        if item_kind in _SCALARS and length > _LONGEST_KEPT_ARRAY:
            self._skip(struct.calcsize(_SCALARS[item_kind]) * length)
            return []
        items: list[_Value] = []
        for _ in range(length):
            item = self._value(item_kind)
            if length <= _LONGEST_KEPT_ARRAY:
                items.append(item)
        return items

    def _string(self) -> str:
        (length,) = self._unpack("<Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _skip(self, size: int) -> None:
        if self._at + size > len(self._data):
            raise struct.error("past the end")
        self._at += size

    def _unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values


def _integer(metadata: Mapping[str, _Value], key: str, default: int) -> int:
    value = metadata.get(key, default)
    return value if isinstance(value, int) else default


def _kept_values(metadata: Mapping[str, _Value], architecture: str) -> int:
    """Layers times heads of keys and values times the length of each; one number of heads, or one a layer."""
    layers = _integer(metadata, f"{architecture}.block_count", 0)
    heads = _integer(metadata, f"{architecture}.attention.head_count", 1)
    width = _integer(metadata, f"{architecture}.embedding_length", 0) // max(1, heads)
    lengths = sum(
        _integer(metadata, f"{architecture}.attention.{kind}_length", width) for kind in ("key", "value")
    )
    kept = metadata.get(f"{architecture}.attention.head_count_kv", heads)
    if isinstance(kept, list):
        return lengths * sum(count for count in kept if isinstance(count, int))
    return lengths * layers * _integer(metadata, f"{architecture}.attention.head_count_kv", heads)
