"""What is kept beyond a session: noted, recalled, put before a run, listed, exported, erased; and all of it off by default."""

import json
import shutil

import anyio
import pytest
from typer.testing import CliRunner

from agent_api.cli import app
from agent_api.composition import Machine, open_skills, open_tenant
from agent_api.knowledge import KnowledgeBases
from agent_api.settings import Settings
from agent_core.testing import ScriptedModel, answer, call
from agent_memory import ImportFormatError
from agent_skills import probe

NOTE = "My sister is called Ada."


@pytest.fixture
def run_in(tmp_path):
    """Runs one prompt after another in one tenant; gives the model's requests, a list a prompt."""

    async def run(prompts, replies, **settings):
        model = ScriptedModel(replies)
        chosen = Settings(data_dir=str(tmp_path / "data"), plugins=False, **settings)
        machine = Machine(settings=chosen, model=model, levels=await probe())
        asked = []
        async with open_tenant(machine, tmp_path / "data", str(tmp_path)) as agent:
            for number, prompt in enumerate(prompts):
                before = len(model.requests)
                run_id = await agent.runner.start(prompt, session_id=f"session {number}")
                state = await agent.runner.drive(run_id)
                asked.append(([*model.requests[before:]], state))
        return asked

    return run


def agent(data_path, *arguments):
    ran = CliRunner().invoke(app, ["memory", *arguments, "--data-dir", str(data_path)])
    assert not ran.exception or isinstance(ran.exception, SystemExit), ran.exception
    return ran


def refused(data_path, *arguments):
    """The command line tells it in one line: see `cli.failure`."""
    CliRunner().invoke(app, ["memory", *arguments, "--data-dir", str(data_path)], catch_exceptions=False)


def test_the_skills_are_there_where_the_settings_want_them(tmp_path):
    def names(**settings):
        chosen = Settings(data_dir=str(tmp_path), workspace=str(tmp_path), plugins=False, **settings)
        return {spec.name for _, spec in open_skills(chosen).listed()}

    ours = {"knowledge_search", "remember", "recall"}
    assert names() & ours == set()
    assert names(knowledge=True) & ours == {"knowledge_search"}
    assert names(long_term=True) & ours == {"remember", "recall"}


async def test_what_was_noted_is_recalled_in_another_session(run_in):
    replies = [
        call("remember", {"text": NOTE}),
        answer("Noted."),
        call("recall", {"query": "sister"}),
        answer("Ada."),
    ]
    (_, first), (requests, second) = await run_in(
        ["Remember my sister.", "What is my sister called?"], replies, long_term=True
    )
    assert first.answer == "Noted."
    assert any(NOTE in message.text for message in requests[0].messages), "it stands before the prompt"
    results = [part.content for message in second.messages for part in message.tool_results]
    assert any(f"- {NOTE}" in one for one in results)


async def test_nothing_is_kept_where_it_is_off(run_in, tmp_path):
    (_, _), (requests, _) = await run_in([NOTE, "What is my sister called?"], [answer("Fine.")])
    assert not any("Ada" in message.text for message in requests[0].messages)
    assert not await anyio.Path(tmp_path / "data" / "memory").exists()


def test_it_is_listed_searched_exported_and_erased(run_in, tmp_path):
    data_path = tmp_path / "data"
    assert "the setting long_term turns it on" in agent(data_path, "list").stderr
    kept = {"long_term": True}
    anyio.run(lambda: run_in([NOTE, "The gate code is 4711."], [answer("Fine."), answer("Good.")], **kept))
    rows = [json.loads(line) for line in agent(data_path, "list", "--json").stdout.splitlines()]
    assert [row["text"] for row in rows] == [NOTE, "Fine.", "The gate code is 4711.", "Good."]
    assert NOTE in agent(data_path, "list").stdout
    best = json.loads(agent(data_path, "search", "who is my sister", "--json").stdout.splitlines()[0])
    assert (best["text"], bool(best["why"])) == (NOTE, True)
    manifest = json.loads(agent(data_path, "export", str(tmp_path / "out"), "--json").stdout)
    assert manifest["rows"]["memory.episodes"] == 4
    assert "4711" in (tmp_path / "out" / "memory.episodes.jsonl").read_text()
    assert agent(data_path, "forget").exit_code == 2
    gone = json.loads(agent(data_path, "forget", "--containing", "4711", "--json").stdout)
    assert gone["episodes"] == 1
    assert "4711" not in agent(data_path, "list").stdout
    files = [path for path in (data_path / "memory").rglob("*") if path.is_file()]
    assert not [path for path in files if b"4711" in path.read_bytes()], "no byte of it is left"


@pytest.fixture
def backup(run_in, tmp_path):
    """An export of a memory and a knowledge base."""
    data_path, folder = tmp_path / "data", tmp_path / "backup"
    anyio.run(lambda: run_in([NOTE], [answer("Fine.")], long_term=True))
    (tmp_path / "pump.md").write_text("Open the red valve before you start the pump.")

    async def fill():
        bases = KnowledgeBases(data_path)
        await bases.add("manuals", [tmp_path / "pump.md"])
        await bases.aclose()

    anyio.run(fill)
    manifest = json.loads(agent(data_path, "export", str(folder), "--bases", "--json").stdout)
    assert (manifest["rows"]["memory.episodes"], manifest["rows"]["knowledge.manuals"]) == (2, 1)
    return folder


def in_knowledge(data_path, query):
    ran = CliRunner().invoke(app, ["kb", "search", "manuals", query, "--json", "--data-dir", str(data_path)])
    return ran.stdout if ran.exit_code == 0 else ""


def test_one_command_takes_all_of_a_tenant_away_and_one_brings_it_back_elsewhere(backup, tmp_path):
    there = tmp_path / "another machine"
    told = [json.loads(line) for line in agent(there, "import", str(backup), "--json").stdout.splitlines()]
    assert [one.get("part") for one in told] == ["knowledge", "memory", None]
    assert told[-1] == {"type": "report", "rows": told[1]["rows"], "passages": 1}
    for word in ("list", "search"):
        asked = [word, *(["sister"] if word == "search" else []), "--json"]
        assert agent(there, *asked).stdout == agent(tmp_path / "data", *asked).stdout
    assert "red valve" in in_knowledge(there, "which valve")
    assert "rows of the memory" in agent(tmp_path / "a third", "import", str(backup)).stdout


def test_an_export_without_bases_has_none(run_in, backup, tmp_path):
    agent(tmp_path / "data", "export", str(tmp_path / "small"))
    told = agent(tmp_path / "there", "import", str(tmp_path / "small"), "--json").stdout.splitlines()[-1]
    assert (json.loads(told)["passages"], in_knowledge(tmp_path / "there", "valve")) == (0, "")


def test_what_was_never_remembered_is_no_hindrance_to_take_the_bases_away(backup, tmp_path):
    shutil.rmtree(tmp_path / "data" / "memory")
    agent(tmp_path / "data", "export", str(tmp_path / "bases"), "--bases")
    told = agent(tmp_path / "there", "import", str(tmp_path / "bases"), "--json").stdout.splitlines()[-1]
    assert json.loads(told) == {"type": "report", "rows": 0, "passages": 1}
    assert not (tmp_path / "there" / "memory").exists()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", ["memory.episodes", "skills.learned", "knowledge.manuals"])
def test_a_damaged_export_is_refused_whole(backup, tmp_path, form, name):
    agent(tmp_path / "data", "export", str(backup), "--bases", "--form", form)
    (backup / f"{name}.{form}").write_bytes(b"no rows\n")
    there = tmp_path / "there"
    with pytest.raises(ImportFormatError, match=rf"{name}\.{form} cannot be imported"):
        refused(there, "import", str(backup))
    assert "nothing is remembered yet" in agent(there, "list").stderr
    assert in_knowledge(there, "valve") == ""


def test_an_import_never_mixes_with_what_is_there(backup, tmp_path):
    before = agent(tmp_path / "data", "list", "--json").stdout
    with pytest.raises(ImportFormatError, match="already"):
        refused(tmp_path / "data", "import", str(backup))
    shutil.rmtree(tmp_path / "data" / "knowledge")
    with pytest.raises(ImportFormatError, match="the memory to import into has"):
        refused(tmp_path / "data", "import", str(backup))
    assert agent(tmp_path / "data", "list", "--json").stdout == before
    assert in_knowledge(tmp_path / "data", "valve") == "", "the bases are not left behind"


def test_what_is_no_export_says_so(tmp_path):
    with pytest.raises(
        ImportFormatError, match=r"nowhere cannot be imported: its manifest.json cannot be read"
    ):
        refused(tmp_path, "import", str(tmp_path / "nowhere"))


async def test_a_run_searches_what_was_put_in(run_in, tmp_path):
    folder = tmp_path / "manuals"
    folder.mkdir()
    (folder / "pump.md").write_text("# Pump\n\nOpen the red valve before you start the pump.\n")
    bases = KnowledgeBases(tmp_path / "data")
    await bases.add("manuals", [folder])
    await bases.aclose()
    replies = [call("knowledge_search", {"query": "start the pump"}), answer("The red valve.")]
    ((_, state),) = await run_in(["How do I start the pump?"], replies, knowledge=True)
    (result,) = [part.content for message in state.messages for part in message.tool_results]
    assert "red valve" in result
    assert "manuals/pump.md" in result
    assert str(tmp_path) not in result, "no path of the machine is shown"
