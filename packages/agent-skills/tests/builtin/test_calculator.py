from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.arithmetic import evaluate
from agent_skills.builtin import BuiltinSettings, CalculatorPlugin, register_builtins
from agent_skills.testing import check_skill

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


async def test_it_calculates_and_says_what_is_wrong():
    registry = SkillRegistry()
    registry.register("calculator", CalculatorPlugin())
    runner = SkillRunner(registry)
    for expression, content, error in (
        ("0.1 + 0.2", "0.3", ""),
        ("1 / 0", "division by zero has no value", "no_value"),
        ("foo", "'foo' at position 1", "invalid_arguments"),
    ):
        call = ToolCall(tool_call_id="c", name="calculator", arguments={"expression": expression})
        result = await runner.run(call, CONTEXT)
        assert content in result.content
        assert result.error == error


def test_it_is_a_good_skill_whose_examples_have_values():
    registry = SkillRegistry()
    registry.register("calculator", CalculatorPlugin())
    calculator = registry.get("calculator")
    assert len(calculator.spec.examples) >= 15
    assert check_skill(calculator).content == "17"
    assert calculator.reader.read("1+1").values == {"expression": ("1 + 1",)}
    for example in calculator.spec.examples:
        evaluate(example.arguments["expression"])


def test_all_built_ins_are_registered(tmp_path):
    registry = SkillRegistry()
    register_builtins(registry)
    assert list(registry.plugins) == ["calculator", "clock"]
    registry = SkillRegistry()
    register_builtins(registry, BuiltinSettings.in_folder(tmp_path))
    assert registry.plugins["files"] == ("files_list", "files_read")
