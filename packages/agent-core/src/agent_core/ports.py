"""The Protocols that join the libraries. Structural: an adapter inherits nothing. Each has a fake in
`agent_core.testing` and a conformance suite in `agent_core.testing.conformance`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

import msgspec

from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest
from agent_core.embeddings import Embeddings, Purpose
from agent_core.events import Event
from agent_core.json_types import JsonObject
from agent_core.knowledge import Filters, Passage
from agent_core.messages import Message
from agent_core.reflexion import Judgement
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec


class ChatModel(Protocol):
    """A model that chats."""

    @property
    def profile(self) -> ModelProfile:
        """What is known of the model without asking it."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model: deltas as they come, then exactly one `Completion`, the last item.

        Closing the generator early stops the model.

        Raises:
            ModelUnavailableError: missing, unreachable or overloaded; nothing was answered.
            ModelRefusedError: the request itself is wrong.
            ContextTooLongError: more tokens than the model holds.
        """
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...


class Embedder(Protocol):
    """A model that turns texts into vectors."""

    @property
    def name(self) -> str:
        """As `provider:name`, with whatever else changes the vectors: recorded beside them, and compared on reading."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        ...

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """One unit vector a text, in order; an empty text may have a vector of zeros.

        Raises:
            ModelUnavailableError: missing, unreachable or overloaded; nothing was embedded.
            ModelRefusedError: the request itself is wrong.
        """
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...


class InnerTools(Protocol):
    """The tools of a run, for a tool that calls others while it runs."""

    async def __call__(self, name: str, arguments: JsonObject) -> ToolResult:
        """Make one call. What policy, limits or deadlines say against it is a result with `error` set."""
        ...


class ToolContext(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a tool run knows of the run it serves."""

    run_id: str
    session_id: str
    idempotency_key: str
    """The same for every attempt of one call, for ever: the far side may use it to do the work only once."""
    attempt: int = 1
    interrupted: bool = False
    """True: an earlier attempt began and its end was never seen."""
    tools: InnerTools | None = None
    """There for a tool that is declared to call others (`ToolSpec.calls_tools`)."""


class ToolRunner(Protocol):
    """Finds tools and runs them."""

    async def specs(self, query: str) -> Sequence[ToolOffer]:
        """The tools to offer for `query` (the latest input), best first; at most one is `proposed`."""
        ...

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one tool, or None where there is none of that name."""
        ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one call. A failure of the tool is a result with `error` set, never an exception."""
        ...


class HydrateRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What memory needs to know to put a context together."""

    run_id: str
    session_id: str
    input: Message
    budget_tokens: int
    """Tokens that instructions, context and input may take together."""
    instructions: str = ""
    """Counted, and not returned."""
    is_first: bool = False
    """The session began with this run, so nothing was said in it before."""


class Memory(Protocol):
    """What is known beyond this run."""

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:
        """The messages that belong before the input, oldest first, within the budget.

        Raises:
            ContextTooLongError: the input alone is over the budget.
        """
        ...

    async def remember(self, outcome: RunState) -> None:
        """Keep the outcome of a run that has its answer."""
        ...


class KnowledgeBase(Protocol):
    """What somebody wrote down, searched by meaning and by word. One tenant's: there is no search without one."""

    async def search(
        self, query: str, *, k: int = 10, filters: Filters | None = None, domains: Sequence[str] = ()
    ) -> Sequence[Passage]:
        """The `k` passages that fit `query` best, best first, among those that `filters` let pass.

        `domains`: where to look; none given, the knowledge base decides by the query.

        Raises:
            KnowledgeError: a domain or a field to filter by is not known.
            KnowledgeUnavailableError: the storage failed.
        """
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...


class Critic(Protocol):
    """Looks at what the rules let pass. One that fails or takes too long has said nothing: the run goes on."""

    async def judge(self, state: RunState) -> Judgement:
        """The verdict on the results that are back: `planning.unjudged(state.calls)`."""
        ...

    async def check(self, state: RunState) -> Judgement:
        """The verdict on `state.answer`."""
        ...


class StoredEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An event with its place in the journal."""

    run_id: str
    seq: int
    """1 for the first event of a run; without gaps."""
    event: Event
    writer: str = ""


class RunHead(msgspec.Struct, frozen=True, kw_only=True):
    """The ends of one run's journal: enough to list runs without reading them."""

    run_id: str
    session_id: str
    first: StoredEvent
    last: StoredEvent


class Journal(Protocol):
    """The truth. An append is atomic and durable on return."""

    async def append(self, run_id: str, expected_seq: int, events: Sequence[Event], *, writer: str) -> int:
        """Append `events` behind event number `expected_seq` (0: a new run); returns the number of the last.

        Raises:
            JournalConflictError: the run's head is another; nothing was written.
            JournalUnavailableError: the storage failed; nothing was written.
        """
        ...

    def read(self, run_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events of a run behind number `after`, in order. An unknown run has none."""
        ...

    def heads(self, *, session_id: str | None = None, limit: int = 100) -> AsyncIterator[RunHead]:
        """The newest runs first, in the order in which the journal got them; of one session if given."""
        ...

    async def fork(self, run_id: str, at_seq: int, new_run_id: str) -> None:
        """Copy the first `at_seq` events of a run to a new run.

        Raises:
            RunNotFoundError: the run has no event of that number.
            JournalConflictError: the new run exists already.
        """
        ...


class Snapshots(Protocol):
    """Keeps the states of long runs beside a journal, so that none is folded from its first event again.

    A shortcut and never the truth: whatever is kept may be lost, and a runner works without.
    """

    async def save_snapshot(self, run_id: str, seq: int, body: bytes) -> None:
        """Keep `body`, the state after event number `seq`, in the place of an earlier one of that run.

        Raises:
            JournalUnavailableError: the storage failed; what was kept before may still be there.
        """
        ...

    async def load_snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        """The latest snapshot of a run: the number of its event, and the state after it. None: there is none.

        Raises:
            JournalUnavailableError: the storage failed.
        """
        ...


class Observer(Protocol):
    """Watches runs. Called in the runner's task, so it must return at once; what it raises ends the drive."""

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """An event is in the journal, and led to `state`."""
        ...

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """The model said a little more. Deltas are not journaled; the finished message is."""
        ...


class Clock(Protocol):
    """The time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Ids(Protocol):
    """New names."""

    def new(self, prefix: str) -> str:
        """A new id such as `run_0193...`: unique, and sorting by time among those of one prefix."""
        ...
