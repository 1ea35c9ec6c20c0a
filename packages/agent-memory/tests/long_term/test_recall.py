import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from agent_core.messages import Message
from agent_core.testing.conformance.memory import MemoryConformance, outcome, request, texts
from agent_memory import Fact, LongTermMemory, RecallingMemory, SessionMemory, SqliteJournal


@contextlib.asynccontextmanager
async def opened(folder: Path, **more: float) -> AsyncGenerator[tuple[RecallingMemory, LongTermMemory]]:
    async with (
        await SqliteJournal.open(folder / "runs.db") as journal,
        await LongTermMemory.open(folder / "memory.db") as long_term,
    ):
        session = SessionMemory(journal, model="test:model")
        yield RecallingMemory(session, long_term, **more), long_term  # type: ignore[arg-type]


class TestRecallingMemory(MemoryConformance):
    @contextlib.asynccontextmanager
    async def memory(self) -> AsyncGenerator[RecallingMemory]:
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder)) as (memory, _):
                yield memory


def recalled(messages: list[Message] | tuple[Message, ...]) -> str:
    (one,) = [text for text in texts(messages) if text.startswith("<recalled>")]
    return one


async def test_what_was_said_in_another_session_is_recalled_and_marked(tmp_path: Path) -> None:
    async with opened(tmp_path) as (memory, long_term):
        await memory.remember(outcome(1, "hers", "my tea is oolong"))
        await long_term.state(Fact(subject="Ana", predicate="drinks", object="tea", valid_from=0))
        messages = tuple(await memory.hydrate(request("other", "which tea is mine?")))
    lines = recalled(messages).splitlines()
    assert lines[2] == "- Ana drinks tea"
    assert any(line.endswith("user: my tea is oolong") for line in lines)
    assert all(message.role == "user" for message in messages)


async def test_what_the_window_says_is_not_recalled(tmp_path: Path) -> None:
    async with opened(tmp_path) as (memory, _):
        await memory.remember(outcome(1, "s", "my tea is oolong"))
        messages = await memory.hydrate(request("s", "which tea is mine?"))
    assert texts(messages) == ["my tea is oolong", "re: my tea is oolong"]


async def test_what_is_recalled_is_not_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path) as (memory, long_term):
        await memory.remember(outcome(1, "hers", "my tea is oolong"))
        context = await memory.hydrate(request("other", "which tea is mine?"))
        await memory.remember(outcome(2, "other", "which tea is mine?", context=context))
        kept = [one.text async for one in long_term.episodes()]
    assert [text for text in kept if "oolong" in text] == ["my tea is oolong", "re: my tea is oolong"]


async def test_a_recollection_stays_in_its_share(tmp_path: Path) -> None:
    async with opened(tmp_path, share=0.5, max_tokens=150) as (memory, _):
        for number in range(30):
            await memory.remember(outcome(number, f"s{number}", f"tea number {number} is green"))
        long_ = recalled(await memory.hydrate(request("new", "which tea?", budget_tokens=100_000)))
        short = recalled(await memory.hydrate(request("new", "which tea?", budget_tokens=250)))
        none = await memory.hydrate(request("new", "which tea?", budget_tokens=100))
    assert len(long_) > len(short)
    assert none == ()
