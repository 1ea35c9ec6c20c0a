"""Every promise of a journal, a memory, a model and a tool runner can be broken, and its suite notices."""

from contextlib import asynccontextmanager
from itertools import count

import anyio
import pytest
from msgspec.structs import replace

from agent_core.chat import Choice, Completion, ModelProfile, TextDelta
from agent_core.errors import JournalUnavailableError, RunNotFoundError
from agent_core.messages import Message, assistant
from agent_core.ports import StoredEvent
from agent_core.testing import InMemoryJournal, ScriptedModel, ScriptedTools, SessionMemory, tool
from agent_core.testing.conformance.chat_model import ChatModelConformance
from agent_core.testing.conformance.journal import JournalConformance
from agent_core.testing.conformance.memory import MemoryConformance
from agent_core.testing.conformance.tool_runner import ToolRunnerConformance
from agent_core.tools import ToolCall, ToolOffer, ToolResult

# ── journal ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Numbers(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        return await super().append(run_id, expected_seq, events, writer=writer) - 1


class KnowsItsRuns(InMemoryJournal):
    async def read(self, run_id, after=0):
        if run_id not in self.runs:
            raise RunNotFoundError(run_id)
        async for stored in super().read(run_id, after):
            yield stored


class FromTheBeginning(InMemoryJournal):
    async def read(self, run_id, after=0):
        async for stored in super().read(run_id):
            yield stored


class LetsStaleWritersWrite(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        head = len(self.runs.get(run_id, []))
        return await super().append(run_id, max(head, expected_seq), events, writer=writer)


class LetsGapsBe(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        head = len(self.runs.get(run_id, []))
        return await super().append(run_id, min(head, expected_seq), events, writer=writer)


class BeginsWithNothing(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        self.runs.setdefault(run_id, [])
        return await super().append(run_id, expected_seq, events, writer=writer)

    async def heads(self, *, session_id=None, limit=100):
        assert all(self.runs.values())
        async for head in super().heads(session_id=session_id, limit=limit):
            yield head


class OneByOne(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        seq = await super().append(run_id, expected_seq, events[:1], writer=writer)
        for event in events[1:]:
            await anyio.lowlevel.checkpoint()
            seq = await super().append(run_id, seq, (event,), writer=writer)
        return seq


class LooksThenWrites(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        seq = await super().append(run_id, expected_seq, (), writer=writer)
        await anyio.lowlevel.checkpoint()
        self.runs[run_id] += [
            StoredEvent(run_id=run_id, seq=seq + place, event=event, writer=writer)
            for place, event in enumerate(events, start=1)
        ]
        return seq + len(events)


class FullAtFifty(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        if run_id not in self.runs and len(self.runs) >= 50:
            raise JournalUnavailableError("here", "full")
        return await super().append(run_id, expected_seq, events, writer=writer)


class AllOrNone(InMemoryJournal):
    """One refused append takes along what arrives behind it."""

    refused = False

    async def append(self, run_id, expected_seq, events, *, writer):
        if self.refused:
            raise JournalUnavailableError("here", "the batch was rolled back")
        self.refused = expected_seq != len(self.runs.get(run_id, []))
        return await super().append(run_id, expected_seq, events, writer=writer)


class OldestFirst(InMemoryJournal):
    async def heads(self, *, session_id=None, limit=100):
        for head in [one async for one in super().heads(session_id=session_id, limit=limit)][::-1]:
            yield head


class LimitsBeforeItFilters(InMemoryJournal):
    async def heads(self, *, session_id=None, limit=100):
        async for head in super().heads(limit=limit):
            if session_id in {None, head.session_id}:
                yield head


class OnePage(InMemoryJournal):
    async def heads(self, *, session_id=None, limit=100):
        async for head in super().heads(session_id=session_id, limit=min(limit, 100)):
            yield head


class SharesItsEvents(InMemoryJournal):
    async def fork(self, run_id, at_seq, new_run_id):
        await super().fork(run_id, at_seq, new_run_id)
        self.runs[new_run_id] = self.runs[run_id][:at_seq]


class ForksNothing(InMemoryJournal):
    async def fork(self, run_id, at_seq, new_run_id):
        self.runs[new_run_id] = self.runs.get(run_id, [])[:at_seq]


class Overwrites(InMemoryJournal):
    async def fork(self, run_id, at_seq, new_run_id):
        kept = self.runs[run_id]
        self.runs.pop(new_run_id, None)
        self.runs.setdefault(run_id, kept)
        await super().fork(run_id, at_seq, f"{new_run_id} anew")


class Latin(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        writer = writer.encode("latin-1", "replace").decode("latin-1")
        return await super().append(run_id, expected_seq, events, writer=writer)


class SmallPages(InMemoryJournal):
    async def append(self, run_id, expected_seq, events, *, writer):
        if len(repr(events)) > 1_000_000:
            raise JournalUnavailableError("here", "too large")
        return await super().append(run_id, expected_seq, events, writer=writer)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Remembers(SessionMemory):
    """Changes what is hydrated."""

    def change(self, messages, request):
        return messages

    async def hydrate(self, request):
        return self.change(list(await super().hydrate(request)), request)


class Greets(Remembers):
    def change(self, messages, request):
        return [assistant("Hello!"), *messages]


class NewestFirst(Remembers):
    def change(self, messages, request):
        return messages[::-1]


class GrowsOld(Remembers):
    hydrated = 0

    def change(self, messages, request):
        self.hydrated += 1
        return messages[self.hydrated - 1 :]


class TellsAll(SessionMemory):
    async def hydrate(self, request):
        return await super().hydrate(replace(request, session_id=""))

    async def remember(self, outcome):
        await super().remember(replace(outcome, session_id=""))


class TellsTwice(SessionMemory):
    told = count()

    async def remember(self, outcome):
        await super().remember(replace(outcome, run_id=f"{outcome.run_id} {next(self.told)}"))


class KeepsTheContext(SessionMemory):
    async def remember(self, outcome):
        await super().remember(replace(outcome, input=outcome.messages[0]))


class WithoutBudget(SessionMemory):
    async def hydrate(self, request):
        return await super().hydrate(replace(request, budget_tokens=10**9))


class CutsAnywhere(Remembers):
    """Fills the budget to the last message, wherever that parts a call from its result."""

    def change(self, messages, request):
        everything = [one for run in self._sessions.get(request.session_id, {}).values() for one in run]
        return everything[-(request.budget_tokens // 20) :]


# ── model ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Model(ScriptedModel):
    """Streams word by word, others in between, and a long story where one is asked for."""

    def __init__(self, message=None):
        super().__init__([message or assistant("once upon a time")])

    def stream(self, request):
        return self.told(request)

    async def told(self, request):
        async for item in super().stream(request):
            yield item
            await anyio.lowlevel.checkpoint()


class Nameless(Model):
    profile = ModelProfile(name="")


class SaysMore(Model):
    async def told(self, request):
        yield TextDelta("well, ")
        async for item in super().told(request):
            yield item


class OneId(Model):
    def __init__(self):
        parts = tuple(ToolCall(tool_call_id="c", name=name, arguments={}) for name in "ab")
        super().__init__(Message(role="assistant", parts=parts))


class AnswersOnce(Model):
    async def told(self, request):
        assert not self.requests
        async for item in super().told(request):
            yield item


class OneStream(Model):
    streams = 0

    async def told(self, request):
        self.streams += 1
        assert self.streams == 1
        async for item in super().told(request):
            yield item
        self.streams -= 1


class AllAtOnce(Model):
    async def told(self, request):
        async for item in super().told(request):
            if isinstance(item, Completion):
                yield replace(item, message=assistant(""))


class TakesNoNotice(Model):
    def stream(self, request):
        return ScriptedModel.stream(self, request)  # never lets anybody else run


class CountsNothing(Model):
    pass


class ClosesOnce(Model):
    async def aclose(self):
        await super().aclose()
        assert self.closed == 1


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False}
BODIES = {
    "add": lambda a=0, b=0: str(a + b),
    "divide": lambda a=0, b=0: str(a / b),
    "sleep": anyio.sleep_forever,
}


class Tools(ScriptedTools):
    """Changes what comes back."""

    def __init__(self):
        super().__init__(BODIES, specs=[tool(name, parameters=SCHEMA) for name in BODIES])

    def change(self, result):
        return result

    async def run(self, call, context):
        return self.change(await super().run(call, context))


class BadNames(Tools):
    async def specs(self, query):
        offers = await super().specs(query)
        return (*offers, ToolOffer(spec=tool("a name with spaces")))


class Unordered(Tools):
    async def specs(self, query):
        offers = await super().specs(query)
        return [replace(offer, score=place / 10) for place, offer in enumerate(offers)]


class ProposesAll(Tools):
    async def specs(self, query):
        return [replace(offer, proposed=True) for offer in await super().specs(query)]


class KnowsEveryTool(Tools):
    def spec(self, name):
        return tool(name)


class MixesIds(Tools):
    def change(self, result):
        return replace(result, tool_call_id="another")


class Surrogates(Tools):
    def change(self, result):
        return replace(result, content=f"{result.content}\udc80")


class TakesAnyText(Tools):
    async def run(self, call, context):
        return await super().run(replace(call, malformed=""), context)


class TakesAnyArgument(Tools):
    async def run(self, call, context):
        known = {key: value for key, value in call.arguments.items() if key in {"a", "b"}}
        return await super().run(replace(call, arguments=known), context)


class Raises(Tools):
    def change(self, result):
        assert not result.is_error
        return result


class Shows(Tools):
    def change(self, result):
        return replace(result, content=f"Traceback: {result.content}")


class OneFailsAll(Tools):
    failed = False

    def change(self, result):
        self.failed = self.failed or result.is_error
        return replace(result, error=result.error or "failed" * self.failed)


class TimesOut(Tools):
    """Makes a result of a cancellation."""

    async def run(self, call, context):
        if call.name != "sleep":
            return await super().run(call, context)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.1)
        return ToolResult(tool_call_id=call.tool_call_id, content="stopped", error="timeout")


def opening(make):
    @asynccontextmanager
    async def opened(self):
        yield make()

    return opened


CALLS = {
    "good": ToolCall(tool_call_id="good", name="add", arguments={"a": 1, "b": 2}),
    "failing": ToolCall(tool_call_id="failing", name="divide", arguments={"a": 1, "b": 0}),
    "endless": ToolCall(tool_call_id="endless", name="sleep", arguments={}),
}
SUITES = {
    JournalConformance: lambda make: {"journal": opening(make)},
    MemoryConformance: lambda make: {"memory": opening(make)},
    ChatModelConformance: lambda make: {
        "chat_model": opening(make),
        "constraints": (Choice(values=("yes", "no")),),
        "too_long": "word " * 9,
    },
    ToolRunnerConformance: lambda make: {"tool_runner": opening(make), **CALLS},
}
BROKEN = [
    (JournalConformance, "what_is_appended_is_read_in_order", Numbers),
    (JournalConformance, "an_unknown_run_has_no_events", KnowsItsRuns),
    (JournalConformance, "read_begins_behind_the_number_given", FromTheBeginning),
    (JournalConformance, "a_stale_append_is_refused", LetsStaleWritersWrite),
    (JournalConformance, "an_append_beyond_the_head_is_refused", LetsGapsBe),
    (JournalConformance, "an_append_of_nothing_only_checks_the_head", BeginsWithNothing),
    (JournalConformance, "a_reader_sees_whole_batches", OneByOne),
    (JournalConformance, "of_concurrent_appends_to_one_run_one_wins", LooksThenWrites),
    (JournalConformance, "many_runs_are_written_at_once", FullAtFifty),
    (JournalConformance, "a_refused_append_does_not_hinder_its_neighbours", AllOrNone),
    (JournalConformance, "heads_list_the_newest_run_first", OldestFirst),
    (JournalConformance, "heads_are_filtered_by_session_and_limited", LimitsBeforeItFilters),
    (JournalConformance, "heads_list_more_runs_than_one_page_holds", OnePage),
    (JournalConformance, "a_fork_has_the_first_events_of_its_run", SharesItsEvents),
    (JournalConformance, "a_fork_of_what_is_missing_is_refused", ForksNothing),
    (JournalConformance, "a_fork_onto_an_existing_run_is_refused", Overwrites),
    (JournalConformance, "any_text_comes_back_unchanged", Latin),
    (JournalConformance, "large_contents_come_back_unchanged", SmallPages),
    (MemoryConformance, "a_new_session_has_no_past", Greets),
    (MemoryConformance, "what_was_said_is_hydrated_oldest_first", NewestFirst),
    (MemoryConformance, "hydrating_changes_nothing", GrowsOld),
    (MemoryConformance, "a_session_does_not_hear_another", TellsAll),
    (MemoryConformance, "a_run_told_twice_is_there_once", TellsTwice),
    (MemoryConformance, "hydrated_context_is_not_remembered_again", KeepsTheContext),
    (MemoryConformance, "the_newest_is_kept_within_the_budget", WithoutBudget),
    (MemoryConformance, "an_input_over_the_budget_is_refused", WithoutBudget),
    (MemoryConformance, "a_tool_call_and_its_result_never_part", CutsAnywhere),
    (ChatModelConformance, "a_profile_is_known_without_asking", Nameless),
    (ChatModelConformance, "deltas_then_one_completion", SaysMore),
    (ChatModelConformance, "tool_calls_have_unique_ids", OneId),
    (ChatModelConformance, "one_model_answers_again", AnswersOnce),
    (ChatModelConformance, "two_streams_at_once", OneStream),
    (ChatModelConformance, "closing_early_stops_the_model", AllAtOnce),
    (ChatModelConformance, "cancelling_stops_the_model", TakesNoNotice),
    (ChatModelConformance, "a_constraint_is_obeyed", Model),
    (ChatModelConformance, "a_prompt_over_the_context_is_refused", CountsNothing),
    (ChatModelConformance, "closing_twice_does_no_harm", ClosesOnce),
    (ToolRunnerConformance, "every_offer_is_well_formed", BadNames),
    (ToolRunnerConformance, "offers_are_ordered_and_at_most_one_is_proposed", Unordered),
    (ToolRunnerConformance, "offers_are_ordered_and_at_most_one_is_proposed", ProposesAll),
    (ToolRunnerConformance, "an_unknown_tool_has_no_spec_and_fails", KnowsEveryTool),
    (ToolRunnerConformance, "a_good_call_returns_its_result", MixesIds),
    (ToolRunnerConformance, "results_can_be_journaled", Surrogates),
    (ToolRunnerConformance, "malformed_arguments_are_refused", TakesAnyText),
    (ToolRunnerConformance, "an_unknown_argument_is_refused", TakesAnyArgument),
    (ToolRunnerConformance, "a_failing_tool_is_a_result", Raises),
    (ToolRunnerConformance, "a_failing_tool_is_a_result", Shows),
    (ToolRunnerConformance, "parallel_calls_keep_their_results_apart", OneFailsAll),
    (ToolRunnerConformance, "a_cancelled_call_ends_and_gives_no_result", TimesOut),
]


@pytest.mark.parametrize(
    ("suite", "promise", "make"), BROKEN, ids=[f"{make.__name__}-{promise}" for _, promise, make in BROKEN]
)
async def test_a_broken_promise_is_noticed(suite, promise, make, keeps):
    assert not await keeps(suite, promise, SUITES[suite](make))


HONEST = {
    JournalConformance: InMemoryJournal,
    MemoryConformance: SessionMemory,
    ToolRunnerConformance: Tools,
}


@pytest.mark.parametrize(
    ("suite", "promise"), [(suite, promise) for suite, promise, _ in BROKEN if suite in HONEST]
)
async def test_and_a_kept_one_is_not(suite, promise, keeps):
    assert await keeps(suite, promise, SUITES[suite](HONEST[suite]))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_promise_is_broken_here(suite):
    promises = {name for name in dir(suite) if name.startswith("test_")}
    assert promises == {f"test_{promise}" for one, promise, _ in BROKEN if one is suite}
