"""The daemon under schemathesis, which draws requests from the OpenAPI document: no fault, and no reply that is not in there.

Schemathesis runs in an environment of its own that uv makes and keeps; `pytest -m slow tests/end_to_end/test_daemon_fuzz.py`.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCHEMATHESIS = "schemathesis==4.32.5"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
ROOT = Path(__file__).parents[2]


def schemathesis(*arguments):
    """How to run it."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv to make schemathesis' environment with")
    newest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    return [
        *(uv, "run", "--quiet", "--no-project", "--exclude-newer", newest),
        *("--python", "3.11", "--with", SCHEMATHESIS, "schemathesis", *arguments),
    ]


OPENAI = ROOT.parent / "shared" / "specs" / "openai.json"
SERVED = (
    "/chat/completions",
    "/embeddings",
    "/models",
    "/models/{model}",
    "/responses",
    "/responses/compact",
    "/responses/{response_id}",
    "/responses/{response_id}/cancel",
    "/responses/{response_id}/input_items",
    "/conversations",
    "/conversations/{conversation_id}",
    "/conversations/{conversation_id}/items",
    "/conversations/{conversation_id}/items/{item_id}",
)
"""Of OpenAI's routes, those that the daemon has. Chat completions are not kept, so there is nothing to list."""
NOT_KEPT = {("/chat/completions", "get"), ("/models/{model}", "delete")}
OF_OPENAI = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")
"""Not the statuses: OpenAI's document has no 400 and no 404."""
KEYS = "^/api/v1/keys/"
"""Drawn from after the others: a key that takes itself away opens nothing after that."""

ARCHIVES = "^/api/v1/memory/import$"
"""Not drawn from: schemathesis writes no tar files."""


async def drawn_from(
    daemon, folder, *chosen, below="", checks=CHECKS, phases="examples,coverage,fuzzing,stateful"
):
    """Have requests drawn from the document in a folder, and hold that nothing was found."""
    command = schemathesis(
        *("run", str(folder / "openapi.json"), "--url", daemon.address + below, *chosen),
        *("-H", f"Authorization: Bearer {daemon.key}"),
        *("--phases", phases, "--checks", ",".join(checks)),
        *("--seed", "1", "--max-examples", "20", "--continue-on-failure", "--no-color"),
        *("--request-timeout", "30", "--suppress-health-check", "all"),
    )
    async with asyncio.timeout(1_500):
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, cwd=folder
        )
    sys.stdout.write(done.stdout[-6_000:])
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.slow
async def test_nothing_that_the_document_allows_or_forbids_is_a_fault(agentd, tmp_path):
    # The examples reach the model, and one that answers in the form that is asked for keeps a 502 from being its fault.
    daemon = agentd("openai:willing", AGENT_MAX_RUNS="10000")
    async with daemon.client() as client:
        known = (await client.post("/api/v1/runs", json={"prompt": "words=3"})).json()["run_id"]
        document = (await client.get("/schema/openapi.json")).json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        await drawn_from(daemon, tmp_path, "--exclude-path-regex", f"{KEYS}|{ARCHIVES}")
        assert (await client.get(f"/api/v1/runs/{known}")).status_code == 200
        await drawn_from(daemon, tmp_path, "--include-path-regex", KEYS)
        assert (await client.get("/health")).status_code == 200


def referred_to(node, found):
    """The names of all schemas and the like that a part of the document leads to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            found.add(tuple(node["$ref"].split("/")[2:4]))
        for inner in node.values():
            referred_to(inner, found)
    elif isinstance(node, list):
        for inner in node:
            referred_to(inner, found)


def as_spoken(node):
    """The document less what OpenAI itself does not keep to: a 404 without its envelope, and discriminators that name schemas."""
    if isinstance(node, list):
        return [as_spoken(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    return {key: as_spoken(inner) for key, inner in node.items() if key not in {"404", "discriminator"}}


def served(document):
    """OpenAI's document, cut down to what the daemon has."""
    paths = {
        path: {
            verb: as_spoken(what)
            for verb, what in document["paths"][path].items()
            if (path, verb) not in NOT_KEPT
        }
        for path in SERVED
    }
    kept, todo = {}, set()
    referred_to(paths, todo)
    while todo:
        kind, name = todo.pop()
        if name not in kept.setdefault(kind, {}):
            kept[kind][name] = as_spoken(document["components"][kind][name])
            referred_to(kept[kind][name], todo)
    return {**{key: document[key] for key in ("openapi", "info")}, "paths": paths, "components": kept}


@pytest.mark.slow
async def test_nothing_that_openais_document_allows_or_forbids_is_a_fault(agentd, tmp_path):
    if not OPENAI.is_file():
        pytest.skip(f"{OPENAI.name} is not beside the checkout")
    daemon = agentd(AGENT_MAX_RUNS="10000")
    document = served(json.loads(OPENAI.read_text(encoding="utf-8")))
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    await drawn_from(daemon, tmp_path, below="/v1", checks=OF_OPENAI)
