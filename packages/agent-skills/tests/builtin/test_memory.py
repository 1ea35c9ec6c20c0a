"""The skills `remember`, `recall` and `knowledge_search`, over fakes of what they are given."""

import pytest

from agent_core.knowledge import Citation, Passage
from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin import BuiltinParts, MemoryPlugin, register_builtins

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


class FakeKnowledge:
    def __init__(self):
        self.asked = []

    async def search(self, query, *, k=10, filters=None, domains=()):
        self.asked.append((query, k, domains))
        if query == "nothing":
            return []
        citation = Citation(source="law.pdf", title="The law", page=3, heading="Part 1 > Notice")
        return [Passage(text="Three months.", score=1.0, citation=citation)]

    async def aclose(self):
        pass


@pytest.fixture
def kept():
    return []


@pytest.fixture
def run(kept):
    async def remember(text, context):
        kept.append((text, context.session_id))

    async def recall(query, count, _context):
        return [text for text, _ in kept if query in text][:count]

    registry = SkillRegistry()
    knowledge = FakeKnowledge()
    parts = BuiltinParts(knowledge=knowledge, memory=MemoryPlugin(remember, recall))
    register_builtins(registry, parts=parts)
    runner = SkillRunner(registry)

    async def run(name, **arguments):
        return await runner.run(ToolCall(tool_call_id="1", name=name, arguments=arguments), CONTEXT)

    run.knowledge = knowledge
    return run


async def test_what_is_remembered_is_recalled(run, kept):
    assert (await run("remember", text="  The code \n is 4711. ")).content == "Remembered: The code is 4711."
    assert kept == [("The code is 4711.", "s")]
    result = await run("recall", query="code")
    assert result.content == "- The code is 4711."
    assert Label.RETURNS_UNTRUSTED in result.labels
    assert (await run("recall", query="cat")).content == "Nothing is remembered about this."


@pytest.mark.parametrize("text", ["", "   ", "x" * 2_001])
async def test_what_is_no_memory_is_refused(run, kept, text):
    assert (await run("remember", text=text)).error == "invalid_arguments"
    assert kept == []


async def test_passages_say_where_they_stand(run):
    result = await run("knowledge_search", query="notice", count=50, domain="legal")
    assert result.content == "[1] The law, Part 1 > Notice, page 3 (law.pdf)\nThree months."
    assert result.labels == (Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED)
    assert run.knowledge.asked == [("notice", 20, ("legal",))]
    assert "nothing on this" in (await run("knowledge_search", query="nothing")).content
