"""Model folders as vLLM loads them: `config.json`, a tokenizer and weights in safetensors.

Checks one before an engine takes half a minute to find out, and makes one from a GGUF file:

    python -m agent_gateway.engines.checkpoints MODEL.gguf FOLDER

The second needs `transformers`, `torch`, `accelerate` and `gguf`, which are not ours: run it in vLLM's environment.
Format: safetensors' README (November 2026).
"""

import argparse
import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from agent_gateway.errors import WeightsError
from agent_gateway.gguf import read_info

_ADVICE = "give the folder of a whole checkpoint (docs/how-to/run-vllm.md makes one)"
_CONFIG, _INDEX = "config.json", "model.safetensors.index.json"


def checkpoint_bytes(folder: Path) -> int:
    """The bytes of the weights in `folder`, each file checked against what its header promises.

    Raises:
        WeightsError: there is no such folder, a file is missing or cut off, or one is no safetensors.
    """
    if not (folder / _CONFIG).is_file():
        raise WeightsError(folder, f"there is no {_CONFIG} in it", _ADVICE)
    names = sorted(set(_listed(folder))) or sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        raise WeightsError(folder, "there are no weights in it (*.safetensors)", _ADVICE)
    return sum(_checked_bytes(folder / name) for name in names)


def _listed(folder: Path) -> Iterator[str]:
    index = folder / _INDEX
    if index.is_file():
        yield from cast("dict[str, dict[str, str]]", json.loads(index.read_bytes()))["weight_map"].values()


def _checked_bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise WeightsError(path, "its header is damaged or cut off", _ADVICE)
            header = cast("dict[str, dict[str, list[int]]]", json.loads(file.read(length)))
    except OSError as error:
        raise WeightsError(path, error.strerror or "it cannot be read", _ADVICE) from error
    except (struct.error, ValueError) as error:
        raise WeightsError(path, "its header is damaged or cut off", _ADVICE) from error
    ends = (tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
    promised = 8 + length + max(ends, default=0)
    if size < promised:
        reason = f"it has {size:,} bytes where its header promises {promised:,} (cut off?)"
        raise WeightsError(path, reason, _ADVICE)
    return size


def make_checkpoint(gguf: Path, folder: Path) -> None:
    """Write the model of the file `gguf` into `folder` in 16 bits. Blocking: a minute for a small model.

    Raises:
        WeightsError: `gguf` is no whole GGUF file.
        ImportError: transformers, torch, accelerate or gguf is not installed.
        ValueError: transformers does not know the architecture, or is given weights that do not fit it.
    """
    read_info(gguf)
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    packed = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    # transformers refuses to save a model that it believes to be quantized still; its weights are not.
    config = transformers.AutoConfig.from_pretrained(**source)
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(packed.state_dict(), strict=True)
    plain.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Makes a folder that vLLM loads from a GGUF file.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    make_checkpoint(given.gguf.absolute(), given.folder)


if __name__ == "__main__":
    main()
