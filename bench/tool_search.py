"""How well and how fast a tool is found among a thousand, on requests that people wrote for a public set. `--json`: one object a line.

    uv run python bench/tool_search.py [--json]

The tools and requests are those of the Berkeley Function Calling Leaderboard (Apache-2.0), as the wheel `bfcl-eval` carries
them; `uv` puts it into a folder that is removed afterwards. Of its 1,437 tools with names of their own, a thousand are drawn three
times by fixed seeds; a request counts where all the tools that it needs are among them, with the share that the first five
hold. Many tools are there several times under different names, and only the one that the set's authors meant counts.

The scorer was built looking at the sets of `SEEN`, which is what splitting a request into its parts and the kinds of its values
gained (.918 to .926); on the others it gained nothing (.823 to .820). Nobody looked at those of `HELD_OUT`, whose requests are other people's: what
users sent to a public demonstration, often short or in other languages than English. Of the 166 that miss there, 80 want one of three
tools; 18 are written in another script and 34 share no word with the tool; 46 found a tool that says nearly the same
(descriptions alike by .75 and more). Adding the likeness of sentence vectors to the words gained .005 on the sets of `SEEN`, that of
single words .006: neither was worth a dependency.
"""

import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, print_figures

from agent_core.tools import ToolSpec
from agent_skills.tool_search import ToolIndex

BERKELEY = "bfcl-eval==2026.3.23"
SEEN = ("simple_python", "simple_javascript", "multiple", "parallel", "parallel_multiple", "live_multiple")
HELD_OUT = ("live_simple", "live_parallel", "live_parallel_multiple", "simple_java")
SIZE, SEEDS, FIRST = 1_000, 3, 5


def read(folder, name):
    """The tools of one set, and its requests with the tools that each needs."""
    file = f"BFCL_v4_{name}.json"
    questions = [json.loads(line) for line in (folder / file).read_text().splitlines()]
    answers = [json.loads(line) for line in (folder / "possible_answer" / file).read_text().splitlines()]
    wanted = {row["id"]: frozenset(name for call in row["ground_truth"] for name in call) for row in answers}
    tools, requests = {}, []
    for row in questions:
        for tool in row["function"]:
            tools.setdefault(
                tool["name"],
                ToolSpec(
                    name=tool["name"],
                    description=tool.get("description", ""),
                    parameters=tool["parameters"],
                ),
            )
        text = " ".join(said["content"] for said in row["question"][0] if said["role"] == "user")
        if wanted.get(row["id"]):
            requests.append((text, wanted[row["id"]]))
    return tools, requests


def found(index, pool, requests, took):
    """For each request whose tools are in the pool, the share of them among the first; `took` gains the seconds."""
    for text, wanted in requests:
        if wanted <= pool:
            started = time.perf_counter()
            names = {one.name for one in index.search(text, FIRST)}
            took.append(time.perf_counter() - started)
            yield len(wanted & names) / len(wanted)


def measure(folder):
    """All figures."""
    sets = {name: read(folder, name) for name in (*SEEN, *HELD_OUT)}
    every_name = sorted({tool for tools, _ in sets.values() for tool in tools})
    shares = {name: [] for name in sets}
    took = []
    for group in (SEEN, HELD_OUT):
        # Some names stand for other tools in another set; those of the requests themselves go first.
        order = sorted(sets, key=lambda name: name not in group)
        tools = {tool: spec for name in reversed(order) for tool, spec in sets[name][0].items()}
        for seed in range(SEEDS):
            pool = set(random.Random(seed).sample(every_name, SIZE))
            index = ToolIndex([tools[name] for name in sorted(pool)])
            for name in group:
                shares[name] += found(index, pool, sets[name][1], took)
    for title, names in (("seen", SEEN), ("held_out", HELD_OUT), ("all", (*SEEN, *HELD_OUT))):
        every = [share for name in names for share in shares[name]]
        yield Figure(
            f"tool_search.{title}.recall_5", round(statistics.fmean(every), 3), f"of {len(every)}", ">= .9"
        )
    for name, every in shares.items():
        yield Figure(f"tool_search.{name}.recall_5", round(statistics.fmean(every), 3), f"of {len(every)}")
    yield Figure("tool_search.p50", round(statistics.median(took) * 1e3, 3), "ms", "<= 5")


def main():
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("there is no uv to fetch the set with")
    with tempfile.TemporaryDirectory() as folder:
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        subprocess.run([*command, "--target", folder, BERKELEY], check=True)
        print_figures(list(measure(Path(folder, "bfcl_eval", "data"))))


if __name__ == "__main__":
    main()
