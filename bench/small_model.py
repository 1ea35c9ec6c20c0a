"""What the embedded model gets right: 60 prompts through the whole agent, as a person would type them.

    uv run python bench/small_model.py [--json] [--show] [--prompts FILE]

A prompt is right in tool if the tool that was called (or none) is the one wanted, and right in answer if the number,
the file or a required word is right too. `--show` prints what went wrong.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anyio
from figures import Figure, print_figures

from agent_api.composition import Agent, open_agent
from agent_api.settings import Settings
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolResult

PROMPTS = Path(__file__).parent / "prompts" / "small_model.jsonl"
WORKSPACE = {
    "notes.txt": "buy stamps\ncall the dentist\n",
    "todo.md": "- water the plants\n- fix the bike\n",
    "README.md": "# A folder\nWith some files.\n",
    "data/sales.csv": "month,units\njanuary,12\nfebruary,19\n",
    "data/2024/january.txt": "Snow until the 14th.\n",
    "recipes/pancakes.txt": "Flour, milk, two eggs.\n",
    "recipes/soup.md": "Carrots, onions, salt.\n",
    "src/app.py": "print('hello')\n",
    "config.toml": "name = 'demo'\n",
    "poem.txt": "The tide comes in,\nthe tide goes out.\n",
}
MAX_REPLY_CHARS = 1_500


@dataclass(frozen=True)
class Result:
    """How one prompt went."""

    prompt: dict[str, object]
    tool: str | None
    right_tool: bool
    right_answer: bool
    valid_arguments: bool
    seconds: float
    shown: str


async def measure(prompts: list[dict[str, object]]) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        for name, text in WORKSPACE.items():
            path = workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        settings = Settings(data_dir=str(Path(folder) / "data"), workspace=str(workspace), plugins=False)
        async with open_agent(settings) as agent:
            await agent.runner.run("Hello")  # loading the weights is no part of any prompt
            return [await one(agent, prompt) for prompt in prompts]


async def one(agent: Agent, prompt: dict[str, object]) -> Result:
    started = time.perf_counter()
    state = await agent.runner.run(str(prompt["prompt"]), instructions=agent.settings.instructions)
    seconds = time.perf_counter() - started
    calls = [call for message in state.messages for call in message.tool_calls]
    results = [result for message in state.messages for result in message.tool_results]
    tool = calls[0].name if calls else None
    right_tool = tool == prompt["tool"]
    return Result(
        prompt=prompt,
        tool=tool,
        right_tool=right_tool,
        right_answer=right_tool and is_right(prompt, calls, results, state),
        valid_arguments=all(result.error != "invalid_arguments" for result in results),
        seconds=seconds,
        shown=f"{dict(calls[0].arguments) if calls else ''} {state.answer[:160]!r}",
    )


def is_right(
    prompt: dict[str, object], calls: list[ToolCall], results: list[ToolResult], state: RunState
) -> bool:
    wanted, kind = prompt["answer"], prompt["kind"]
    if kind in {"digits", "words"}:
        return is_number(results[0].content, float(str(wanted)))
    if kind == "files":
        path = str(calls[0].arguments.get("path", ".")).removeprefix("./").rstrip("/")
        return (path or ".") == str(wanted).rstrip("/")
    if kind == "clock":
        return not results[0].is_error
    text = state.answer.strip()
    return 0 < len(text) <= MAX_REPLY_CHARS and (wanted is None or str(wanted).lower() in text.lower())


def is_number(text: str, wanted: float) -> bool:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return False
    return abs(value - wanted) <= max(1e-6 * abs(wanted), 0.005 if wanted != int(wanted) else 1e-9)


def share(results: list[Result], kind: str, field: str) -> float:
    chosen = [r for r in results if kind in {"all", r.prompt["kind"]}]
    return 100 * sum(bool(getattr(r, field)) for r in chosen) / len(chosen)


def figures(results: list[Result]) -> list[Figure]:
    seconds = sorted(r.seconds for r in results)
    kinds = list(dict.fromkeys(str(r.prompt["kind"]) for r in results))
    peers = {"same model left alone, under a schema": 30, "same model, two steps": 40}
    return [
        Figure("right tool", share(results, "all", "right_tool"), "%", ">= 90", peers),
        Figure("right answer", share(results, "all", "right_answer"), "%", ">= 75"),
        Figure("valid arguments", share(results, "all", "valid_arguments"), "%", "100"),
        *(Figure(f"right tool, {kind}", share(results, kind, "right_tool"), "%") for kind in kinds),
        *(Figure(f"right answer, {kind}", share(results, kind, "right_answer"), "%") for kind in kinds),
        Figure("seconds a prompt, median", statistics.median(seconds), "s"),
        Figure("seconds a prompt, p95", seconds[int(0.95 * (len(seconds) - 1))], "s"),
    ]


def main() -> None:
    chosen = Path(sys.argv[sys.argv.index("--prompts") + 1]) if "--prompts" in sys.argv else PROMPTS
    prompts = [json.loads(line) for line in chosen.read_text().splitlines()]
    results = anyio.run(measure, prompts)
    print_figures(figures(results))
    for r in results if "--show" in sys.argv else ():
        if not r.right_answer:
            print(
                f"{r.prompt['kind']}: {r.prompt['prompt']!r} -> {r.tool} {r.shown}, wanted {r.prompt['answer']}"
            )


if __name__ == "__main__":
    main()
