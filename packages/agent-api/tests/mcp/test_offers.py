"""What a model with a tool format of its own is offered: all tools where they are few; of hundreds the nearest, and what it finds."""

import sys
from pathlib import Path

import anyio
import pytest

from agent_api.composition import open_skills
from agent_api.doctor import Verdict, examine
from agent_api.settings import McpSettings, Settings, SkillSettings
from agent_api.skill_names import unknown_skills
from agent_core.chat import ToolMode
from agent_core.testing import answer, call

SCRIPT = str(Path(__file__).with_name("many_server.py"))
MANY = 200
"""As many as are taken of one server."""


@pytest.fixture
def many():
    """The settings of a server with hundreds of tools, whose results nobody has to be asked about."""
    command = [sys.executable, SCRIPT, str(MANY)]
    return McpSettings(servers={"many": {"command": command, "sandbox": "none", "labels": []}})


async def ran(client, prompt, session_id=""):
    body = {"prompt": prompt, "session_id": session_id}
    run = (await client.post("/api/v1/runs", json=body)).json()
    with anyio.fail_after(60):
        while run["status"] in {"running", "interrupted"}:
            await anyio.sleep(0.01)
            run = (await client.get(f"/api/v1/runs/{run['run_id']}")).json()
    return run


def offers(daemon):
    """The names that the model was offered, turn by turn."""
    return [[one.name for one in request.tools] for request in daemon.tenants.machine.model.requests]


async def test_few_are_all_offered_always_in_one_order(open_serving):
    """A provider caches the beginning of a prompt: it is the same whatever is asked."""
    async with open_serving([answer("hi")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        for prompt in ("what is 2 + 2", "which files are there", "hello"):
            await ran(client, prompt)
        first, *others = offers(daemon)
        assert {"calculator", "clock", "files_list"} <= set(first)
        assert "find_skills" not in first
        assert others == [first, first]


async def test_of_hundreds_the_nearest_are_offered_and_what_is_found_joins_them(open_serving, many):
    script = [
        call("find_skills", {"query": "share a recipe of department 139"}),
        call("many_share_recipe_189", {}, tool_call_id="c2"),
        answer("done"),
    ]
    async with open_serving(script, mcp=many) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        run = await ran(client, "please delete the invoice of department 151")
        assert (run["status"], run["answer"]) == ("done", "done"), run
        first, second, third = offers(daemon)
        assert "many_delete_invoice_151" in first[:3]
        assert len(first) == 21
        assert first[-1] == "find_skills"
        assert second[:21] == first, "what was offered stays where it was: the prompt is cached"
        assert any("share_recipe" in name for name in second[21:])
        assert third == second
        listed = (await client.get("/api/v1/skills")).json()
        assert len(str(listed)) > MANY


async def test_the_limit_is_a_setting(open_serving, many):
    async with open_serving([answer("hi")], mcp=many, skills=SkillSettings(most_offered=8)) as (
        client,
        daemon,
    ):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        await ran(client, "list the shipments")
        assert [len(names) for names in offers(daemon)] == [5]
    async with open_serving([answer("hi")], mcp=many, skills=SkillSettings(most_offered=500)) as (
        client,
        daemon,
    ):
        client.headers["Authorization"] = f"Bearer {daemon.keys.create(now=0.0)[1]}"
        await ran(client, "list the shipments")
        assert len(offers(daemon)[0]) > MANY


async def test_what_served_such_requests_before_is_offered_first(open_serving, many):
    script = [call("many_export_holiday_28", {"note": "x"}), answer("done")]
    async with open_serving(script, mcp=many, long_term=True) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        run = await ran(client, "send my time away to the accountants")
        agent = (await daemon.tenants.supervisor("default")).agent
        assert "many_export_holiday_28" not in offers(daemon)[0]
        await agent.memory.skills.learn(await agent.runner.load(run["run_id"]), verified=True)
        await ran(client, "send my time away to the accountants, please")
        assert offers(daemon)[-1][0] == "many_export_holiday_28"


async def test_a_model_that_is_routed_has_nothing_to_find():
    skills = open_skills(Settings(plugins=False))
    assert skills.registry.get("find_skills") is None
    await skills.aclose()


async def test_skills_that_alone_are_allowed_can_be_found():
    chosen = Settings(plugins=False, skills=SkillSettings(allow=("calculator",)))
    skills = open_skills(chosen, tool_mode=ToolMode.NATIVE)
    assert [one.spec.name for one in skills.registry.skills()] == ["calculator", "find_skills"]
    assert skills.how_offered() == "1 skills: all are offered to the model"
    assert skills.how_offered(80) == (
        "81 skills: the 20 nearest to a request are offered to the model, and find_skills finds the others"
    )
    await skills.aclose()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"deny": ("calculater",)},
            ["skills.deny names 'calculater', which no skill is called; is 'calculator' meant?"],
        ),
        ({"allow": ("clock", "zzz")}, ["skills.allow names 'zzz', which no skill is called"]),
        ({"deny": ("shell", "recall", "clock")}, []),
        ({"deny": ("many_nothing",)}, []),
    ],
)
async def test_a_name_that_no_skill_has_is_told_with_the_nearest(given, says, many):
    chosen = Settings(plugins=False, skills=SkillSettings(**given), mcp=many)
    skills = open_skills(chosen)
    assert [*unknown_skills(chosen, skills.registry)] == says
    await skills.aclose()


async def test_the_doctor_says_how_many_are_offered_and_which_names_are_wrong(tmp_path, monkeypatch, many):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path / "data"))
    command = str(many.servers["many"]["command"]).replace("'", '"')
    (tmp_path / "agent.toml").write_text(
        f'model = "openai:x"\nbase_url = "http://127.0.0.1:9/v1"\nplugins = false\n'
        f'[skills]\ndeny = ["many_delete_invoise_151", "many_list_pump_12"]\n[policy.tools]\nclok = "deny"\n'
        f'[mcp.servers.many]\ncommand = {command}\nsandbox = "none"\n'
    )
    found = [one async for one in examine()]
    details = {one.check: one for one in found}
    assert details["offer"].detail.endswith(
        "the 20 nearest to a request are offered to the model, and find_skills finds the others"
    )
    told = [one.detail for one in found if one.verdict is Verdict.WARNING]
    assert any("policy.tools names 'clok'" in one and "'clock' meant" in one for one in told)
    wrong = "skills.deny names 'many_delete_invoise_151', which no tool of many is called; is 'many_delete_invoice_151' meant?"
    assert wrong in told
    assert not any("many_list_pump_12" in one for one in told)
