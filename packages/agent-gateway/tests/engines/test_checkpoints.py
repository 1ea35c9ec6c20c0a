"""Checkpoint folders: what is missing, cut off or none is named before an engine starts."""

import json
import struct
from pathlib import Path

import pytest

from agent_gateway.engines.checkpoints import checkpoint_bytes, make_checkpoint
from agent_gateway.errors import WeightsError


def safetensors(size: int = 64) -> bytes:
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [16], "data_offsets": [0, size]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    return tmp_path


def test_a_whole_one(folder: Path) -> None:
    assert checkpoint_bytes(folder) == len(safetensors())


def test_one_in_parts(folder: Path) -> None:
    (folder / "part-2.safetensors").write_bytes(safetensors(128))
    index = {"weight_map": {"a": "model.safetensors", "b": "part-2.safetensors", "c": "part-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert checkpoint_bytes(folder) == len(safetensors()) + len(safetensors(128))
    (folder / "part-2.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"part-2\.safetensors.*No such file"):
        checkpoint_bytes(folder)


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("config.json", None, r"there is no config\.json in it"),
        ("model.safetensors", None, "there are no weights in it"),
        ("model.safetensors", safetensors()[:-1], "bytes where its header promises .*cut off"),
        ("model.safetensors", safetensors()[:20], "header is damaged or cut off"),
        ("model.safetensors", b"GGUF", "header is damaged or cut off"),
        ("model.safetensors", b"", "header is damaged or cut off"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, file: str, data: bytes | None, words: str) -> None:
    if data is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(data)
    with pytest.raises(WeightsError, match=words) as refused:
        checkpoint_bytes(folder)
    assert "run-vllm.md" in str(refused.value)


def test_a_checkpoint_is_made_of_a_whole_file_only(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"hello")
    with pytest.raises(WeightsError, match="GGUF mark"):
        make_checkpoint(path, tmp_path / "out")
