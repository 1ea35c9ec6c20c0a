"""Knowledge bases of one tenant, and the command line over them: real documents, a real LanceDB."""

import json

import anyio
import pytest
from typer.testing import CliRunner

from agent_api.cli import app
from agent_api.doctor import Verdict, examine
from agent_api.errors import NotFoundError, SettingsError
from agent_api.knowledge import KnowledgeBases
from agent_core.errors import ConfigurationError, KnowledgeError
from agent_memory import ImportFormatError


@pytest.fixture
def manuals(tmp_path, monkeypatch):
    folder = tmp_path / "manuals"
    folder.mkdir()
    (folder / "pump.md").write_text("# Pump\n\nOpen the red valve before you start the pump.\n")
    (folder / "press.md").write_text("# Press\n\nThe press is oiled on Mondays.\n")
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return folder


def agent(*arguments):
    ran = CliRunner().invoke(app, ["kb", *arguments])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


def test_what_was_put_in_is_found_listed_and_erased(manuals):
    assert "agent kb add" in agent("list").stderr
    first = agent("add", "manuals", "manuals", "--json")
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert [line["done"] for line in lines[:-1]] == [1, 2]
    assert (len(lines[-1]["added"]), lines[-1]["unchanged"]) == (2, 0)
    assert "0 added, 0 changed, 2 unchanged" in agent("add", "manuals", "manuals").stdout
    (row,) = [json.loads(line) for line in agent("list", "--json").stdout.splitlines()]
    assert (row["name"], row["sources"]) == ("manuals", 2)
    (hit,) = agent("search", "manuals", "which valve", "-k", "1", "--json").stdout.splitlines()
    source = json.loads(hit)["citation"]["source"]
    assert source == str(manuals / "pump.md")
    assert "red valve" in agent("search", "manuals", "which valve").stdout
    agent("remove", "manuals", source)
    assert agent("show", "manuals").stdout.splitlines() == [str(manuals / "press.md")]
    assert "red valve" not in agent("search", "manuals", "which valve").stdout
    assert json.loads(agent("remove", "manuals", "--json").stdout) == {"removed": 1}
    assert agent("list", "--json").stdout == ""


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_kept(manuals):
    (manuals / "broken.json").write_text("[1, 2")
    ran = agent("add", "manuals", "manuals")
    assert ran.exit_code == 1
    assert f"failed: {manuals / 'broken.json'}: it is no JSON" in ran.stderr
    assert "2 added" in ran.stdout


def test_what_is_gone_goes_when_asked_for(manuals):
    agent("add", "manuals", "manuals")
    (manuals / "press.md").unlink()
    assert "0 removed" in agent("add", "manuals", "manuals").stdout
    assert "1 removed" in agent("add", "manuals", "manuals", "--remove-missing").stdout


@pytest.mark.parametrize("arguments", [("search", "nope", "x"), ("show", "nope"), ("remove", "legal")])
def test_a_base_that_is_not_there_is_not_found(manuals, arguments):
    with pytest.raises(NotFoundError, match="there is no knowledge base"):
        agent(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "Bad Name", "manuals"), "cannot name"),
        (("add", "m", "manuals", "--like", "x"), "no domain 'x'"),
    ],
)
def test_a_name_that_is_none_is_refused(manuals, arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        agent(*arguments)


async def test_a_base_stays_like_what_it_was_made_like(manuals, tmp_path):
    bases = KnowledgeBases(tmp_path / "data")
    await bases.add("rules", [manuals / "pump.md"], like="legal")
    await bases.add("rules", [manuals / "press.md"])
    with pytest.raises(ConfigurationError, match="another domain"):
        await bases.add("rules", [manuals / "press.md"], like="code")
    assert await bases.search("valve", filters={"jurisdiction": "nowhere"}, domains=["rules"]) == []
    with pytest.raises(KnowledgeError, match="no field 'repository'"):
        await bases.search("valve", filters={"repository": "x"}, domains=["rules"])
    await bases.aclose()


async def test_what_another_process_makes_is_seen(manuals, tmp_path):
    reading, writing = KnowledgeBases(tmp_path / "data"), KnowledgeBases(tmp_path / "data")
    assert await reading.search("valve") == []
    await writing.add("manuals", [manuals])
    assert [one.domain for one in await reading.search("valve", k=1, domains=["manuals"])] == ["manuals"]
    (manuals / "pump.md").write_text("# Pump\n\nThe green lever comes first.\n")
    await writing.add("manuals", [manuals])
    with anyio.fail_after(60):
        while "green lever" not in (await reading.search("pump lever", k=1))[0].text:
            await anyio.sleep(0.2)
    for bases in (reading, writing):
        await bases.aclose()


async def test_sources_below_a_root_are_named_below_it(manuals, tmp_path):
    bases = KnowledgeBases(tmp_path / "data", roots=(tmp_path,))
    report = await bases.add("manuals", [manuals])
    assert report.added == ("manuals/press.md", "manuals/pump.md")
    assert await bases.sources("manuals") == ["manuals/press.md", "manuals/pump.md"]
    assert (await bases.search("valve", k=1))[0].citation.source == "manuals/pump.md"
    assert await bases.remove("manuals", ["manuals/pump.md"]) == 1
    assert (manuals / "pump.md") in set(manuals.iterdir()), "only what was uploaded is deleted"
    await bases.aclose()


async def test_tables_lie_where_the_settings_say_apart_by_tenant(manuals, tmp_path):
    place = str(tmp_path / "elsewhere")
    for tenant, file in (("acme", "pump.md"), ("own", "press.md")):
        bases = KnowledgeBases(tmp_path / tenant, at=place, tenant=tenant)
        assert await bases.bases() == []
        await bases.add("manuals", [manuals / file])
        (only,) = await bases.sources("manuals")
        assert only.endswith(file)
        await bases.aclose()
    again = KnowledgeBases(tmp_path / "acme", at=place, tenant="acme")
    (hit,) = await again.search("which valve", k=5)
    assert "red valve" in hit.text
    assert await again.remove("manuals") == 1
    await again.aclose()
    other = KnowledgeBases(tmp_path / "own", at=place, tenant="own")
    assert len(await other.sources("manuals")) == 1
    await other.aclose()
    assert not (tmp_path / "acme" / "knowledge" / "own").exists()


def test_the_command_line_and_the_daemon_look_at_the_same_place(manuals, tmp_path, monkeypatch):
    monkeypatch.setenv("AGENT_KNOWLEDGE_AT", str(tmp_path / "elsewhere"))
    agent("add", "manuals", "manuals")
    assert "red valve" in agent("search", "manuals", "which valve").stdout
    assert (tmp_path / "elsewhere" / "default").is_dir()
    monkeypatch.delenv("AGENT_KNOWLEDGE_AT")
    assert agent("list", "--json").stdout == ""


def test_an_export_to_where_nothing_can_be_written_says_so(manuals):
    with pytest.raises(ConfigurationError, match=r"pump\.md/backup cannot be written"):
        agent("export", str(manuals / "pump.md" / "backup"))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_bases_are_taken_to_another_place(manuals, tmp_path, monkeypatch, form):
    agent("add", "manuals", "manuals")
    assert agent("export", "backup", "--form", form).stdout == "2 passages in backup\n"
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("AGENT_KNOWLEDGE_AT", str(tmp_path / "elsewhere"))
    assert json.loads(agent("restore", "backup", "--json").stdout) == {"passages": 2}
    assert "red valve" in agent("search", "manuals", "which valve").stdout
    with pytest.raises(ImportFormatError):
        agent("restore", "backup")
    assert len(agent("show", "manuals").stdout.splitlines()) == 2


@pytest.mark.parametrize("at", ["bucket/knowledge", "http://bucket", "memory://", "s3:/bucket"])
async def test_what_is_no_place_is_a_wrong_setting(manuals, tmp_path, at):
    with pytest.raises(SettingsError, match=r"setting 'knowledge_at': .* is no place"):
        KnowledgeBases(tmp_path, at=at)
    overrides = {"knowledge_at": at, "plugins": False}
    findings = {one.check: one async for one in examine(overrides)}
    assert findings["knowledge"].verdict is Verdict.WRONG


async def test_the_doctor_looks_whether_a_folder_can_be_written(manuals, tmp_path):
    (tmp_path / "file").write_text("")
    for at, verdict in ((tmp_path / "elsewhere", Verdict.WELL), (tmp_path / "file" / "x", Verdict.WRONG)):
        findings = {one.check: one async for one in examine({"knowledge_at": str(at), "plugins": False})}
        assert findings["knowledge"].verdict is verdict
    assert not (tmp_path / "elsewhere").exists()
