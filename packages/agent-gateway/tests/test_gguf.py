import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_gateway.errors import WeightsError
from agent_gateway.gguf import GgufInfo, read_info


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def a_file(*, weights: int = 64 * 4, version: int = 3) -> bytes:
    """One tensor of 64 floats, and the keys that are asked for."""
    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.name") + struct.pack("<I", 8) + text("Tiny"),
        text("llama.context_length") + struct.pack("<I", 4) + struct.pack("<I", 512),
        text("scores") + struct.pack("<IIQ", 9, 6, 100) + struct.pack("<100f", *range(100)),
        text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
        text("tokenizer.chat_template") + struct.pack("<I", 8) + text("{{ tools }}"),
    ]
    tensor = text("t") + struct.pack("<I2QIQ", 2, 8, 8, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(entries)) + b"".join(entries) + tensor
    return head + bytes(-len(head) % 32) + bytes(weights)


def test_what_a_header_says(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(a_file())
    assert read_info(path) == GgufInfo(
        architecture="llama",
        name="Tiny",
        context_tokens=512,
        parameters=64,
        has_chat_template=True,
        template_has_tools=True,
    )


def test_what_a_context_keeps(weights: Path) -> None:
    assert read_info(weights).kept_values_per_token == 30 * 2 * 3 * 64, "layers, both kinds, heads, length"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "no such file"),
        (b"", "GGUF mark"),
        (b"GG", "GGUF mark"),
        (b"hello" * 99, "GGUF mark"),
        (b"GGUF", "damaged or cut off"),
        (a_file()[:-1], "cut off"),
        (a_file()[:60], "damaged or cut off"),
        (a_file(version=1), "version is 1"),
        (a_file()[:24] + b"\xff" * 999, "damaged or cut off"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, data: bytes | None, words: str) -> None:
    path = tmp_path / "m.gguf"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match=words) as raised:
        read_info(path, advice="do this")
    assert str(path) in str(raised.value)
    assert str(raised.value).endswith("do this")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="directory"):
        read_info(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(4, 300), junk=st.binary(min_size=1, max_size=16))
def test_no_damage_leads_to_another_error(tmp_path: Path, place: int, junk: bytes) -> None:
    data = bytearray(a_file())
    data[place : place + len(junk)] = junk
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with contextlib.suppress(WeightsError):
        read_info(path)


def test_the_embedded_model(weights: Path) -> None:
    info = read_info(weights)
    assert (info.architecture, info.context_tokens, info.has_chat_template) == ("llama", 8_192, True)
    assert 130_000_000 < info.parameters < 170_000_000
