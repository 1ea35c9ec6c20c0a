"""The witness of a simulated world: writes down what happens, and notices at once what must never happen.

It believes no adapter: what is in a journal it knows from the appends that were acknowledged, what a tool did from the
tool's own body. `laws` looks at what it wrote down once the world has ended.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import msgspec

from agent_core import events as ev
from agent_core.errors import ProtocolError
from agent_core.json_types import JsonObject
from agent_core.ports import StoredEvent, ToolContext
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolSpec
from agent_core.transitions import evolve, owed, replay

TURNS = (ev.ToolsCalled, ev.PlanProposed)
TOLERANCE_S = 1e-6
"""A clock that counts from 1970 is no more exact than that."""
MAX_VIOLATIONS = 20
"""A world in which so much is broken is left."""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A law that did not hold."""

    law: str
    detail: str
    at_s: float
    """Virtual seconds since the world began."""


@dataclass(eq=False)
class Execution:
    """A tool at work."""

    run_id: str
    tool_call_id: str
    turn_seq: int
    """The number of the event that holds the call: with the run and the id it names one call for ever."""
    name: str
    arguments: JsonObject
    idempotent: bool
    key: str
    began_at: float
    activation: "Activation | None"
    timeout_s: float
    ended_at: float | None = None
    how: str = ""
    """`returned`, `raised` or `stopped`."""
    content: str = ""


@dataclass(eq=False)
class Activation:
    """One drive of one run by one process."""

    run_id: str
    session_id: str
    process: str
    began_at: float
    began_after: int
    """How many events the run had when it began."""
    ended_at: float | None = None
    how: str = ""
    """`rest`, `left`, `died`, or the name of the error that it raised."""
    seqs: list[int] = field(default_factory=list[int])
    """The numbers of the events that its observer was told of."""
    running: set[Execution] = field(default_factory=set[Execution])
    cancelled_at: float | None = None
    """When its own process was told to cancel the run."""
    seen: dict[str, int] = field(default_factory=dict[str, int])
    """For its run, and each that was delegated from it, the number of the last event that it read or wrote."""
    lost_storage: bool = False
    """True: something that it wanted to write was refused by a full disk."""
    had_turn: bool = False
    """True once it has done something for its run, and so has or had the turn of its session."""
    rest_seq: int | None = None
    """The number of events of the state that it returned."""


class Witness:
    """What happened in one world."""

    def __init__(self, epoch: float) -> None:
        """`epoch`: what the clock shows when the world begins, in seconds since 1970."""
        self.epoch: float = epoch
        self.trace: list[tuple[object, ...]] = []
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.written: dict[str, list[StoredEvent]] = {}
        self.news: anyio.Event = anyio.Event()
        """Set, and replaced, whenever something is written."""
        self.enough: anyio.Event = anyio.Event()
        """Set once so many laws are broken that there is no use in going on."""
        self.attempted: set[tuple[str, int, str]] = set()
        """Run, number and writer of what was to be appended: it may be in the journal without an acknowledgement."""
        self.states: dict[str, list[RunState]] = {}
        """For each run the states that its events lead to, the idle one first."""
        self.executions: list[Execution] = []
        self.activations: list[Activation] = []
        self._by_call: defaultdict[tuple[str, int, str], list[Execution]] = defaultdict(list)
        self._calls_of_key: dict[str, tuple[str, int, str]] = {}
        self._turns: dict[tuple[str, str], Activation] = {}

    def saw(self, kind: str, *details: object) -> None:
        """Something happened."""
        self.counts[kind] += 1
        self.trace.append((round(anyio.current_time(), 9), kind, *details))

    def breaks(self, law: str, detail: str) -> None:
        """A law did not hold."""
        self.violations.append(Violation(law=law, detail=detail, at_s=anyio.current_time()))
        self.saw("violation", law, detail)
        if len(self.violations) >= MAX_VIOLATIONS:
            self.enough.set()

    def fingerprint(self) -> str:
        """A digest of everything that happened, in order."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()

    def family(self, run_id: str) -> list[str]:
        """The run, and all that were delegated from it."""
        found = [run_id]
        for key, states in self.states.items():
            if states[-1].parent_id in found:
                found.append(key)
        return found

    def state(self, run_id: str) -> RunState:
        """Where a run is, by what is written."""
        states = self.states.get(run_id)
        return states[-1] if states else RunState(run_id=run_id)

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────

    def wrote(
        self, run_id: str, expected_seq: int, events: Sequence[ev.Event], writer: str, seq: int
    ) -> None:
        """A journal acknowledged an append."""
        written = self.written.setdefault(run_id, [])
        if len(written) != expected_seq or seq != expected_seq + len(events):
            self.breaks(
                "numbers", f"{run_id} has {len(written)} events; an append behind {expected_seq} gave {seq}"
            )
            return
        for event in events:
            seq = len(written) + 1
            written.append(StoredEvent(run_id=run_id, seq=seq, event=event, writer=writer))
            self.saw(ev.event_type(event), run_id, seq, writer)
            self._fold(run_id, event)
        self.news.set()
        self.news = anyio.Event()

    def _fold(self, run_id: str, event: ev.Event) -> None:
        states = self.states.setdefault(run_id, [RunState(run_id=run_id)])
        before = states[-1]
        try:
            after = evolve(before, event)
        except ProtocolError as error:
            self.breaks("replay", f"{run_id}: {error}")
            after = before
        states.append(after)
        if bool(owed(after)) is after.is_over:
            self.breaks("owed", f"{run_id} in {after.phase} at event {after.seq} owes {owed(after)}")

    # ── the tools ────────────────────────────────────────────────────────────────────────────────────────────────

    def begins(
        self, call: ToolCall, context: ToolContext, spec: ToolSpec, activation: Activation | None
    ) -> Execution:
        """A tool begins to work."""
        turn_seq, intents = self._turn_of(context.run_id, call.tool_call_id, activation)
        execution = Execution(
            run_id=context.run_id,
            tool_call_id=call.tool_call_id,
            turn_seq=turn_seq,
            name=call.name,
            arguments=call.arguments,
            idempotent=spec.idempotent,
            key=context.idempotency_key,
            began_at=anyio.current_time(),
            activation=activation,
            timeout_s=spec.timeout_s,
        )
        self.saw("tool begins", context.run_id, call.tool_call_id, call.name, context.attempt)
        before = self._by_call[context.run_id, turn_seq, call.tool_call_id]
        self._check_key(execution, before)
        if not spec.idempotent and len(before) >= intents:
            self.breaks("intent", f"{_name(execution)} began for time {len(before) + 1}, {intents} intents")
        if activation is not None:
            activation.running.add(execution)
        before.append(execution)
        self.executions.append(execution)
        return execution

    def ends(self, execution: Execution, how: str, content: str = "") -> None:
        """A tool has ended, or was stopped."""
        execution.ended_at, execution.how, execution.content = anyio.current_time(), how, content
        self.saw(f"tool {how}", execution.run_id, execution.tool_call_id)
        activation = execution.activation
        lasted_s = execution.ended_at - execution.began_at
        if lasted_s > execution.timeout_s + TOLERANCE_S:
            self.breaks(
                "deadline", f"{_name(execution)} worked for {lasted_s:.3f} of {execution.timeout_s} s"
            )
        if activation is None:
            return
        activation.running.discard(execution)
        if activation.cancelled_at is not None and anyio.current_time() > activation.cancelled_at:
            late_s = anyio.current_time() - activation.cancelled_at
            self.breaks("cancel", f"{_name(execution)} ran on for {late_s:.3f} s after the run was cancelled")

    def _turn_of(self, run_id: str, tool_call_id: str, activation: Activation | None) -> tuple[int, int]:
        """The number of the event that holds the call, and how many intents to make it were written.

        A drive may be behind: another one took its run over, and it does not know yet.
        """
        written = self.written.get(run_id, [])
        seen = len(written) if activation is None else activation.seen.get(run_id, 0)
        turn_seq = next((one.seq for one in reversed(written[:seen]) if isinstance(one.event, TURNS)), 0)
        intents = 0
        for one in written[turn_seq:]:
            if isinstance(one.event, TURNS):
                break
            intents += isinstance(one.event, ev.ToolStarted) and one.event.tool_call_id == tool_call_id
        return turn_seq, intents

    def _check_key(self, execution: Execution, before: Sequence[Execution]) -> None:
        call = (execution.run_id, execution.turn_seq, execution.tool_call_id)
        if self._calls_of_key.setdefault(execution.key, call) != call:
            self.breaks("keys", f"{execution.key!r} of {call} is that of {self._calls_of_key[execution.key]}")
        if before and before[0].key != execution.key:
            self.breaks("keys", f"{call} had the key {before[0].key!r}, and now {execution.key!r}")

    # ── the drives ───────────────────────────────────────────────────────────────────────────────────────────────

    def works(self, activation: Activation) -> None:
        """A drive does something for its run: it has the turn of its session, and whoever had it must be done."""
        place = (activation.process, activation.session_id)
        holder = self._turns.get(place)
        if holder is activation:
            return
        if activation.had_turn or (holder is not None and holder.running):
            others = "nobody" if holder is None else holder.run_id
            self.breaks("sessions", f"{activation.run_id} works while {others} has the turn of {place[1]}")
        activation.had_turn = True
        self._turns[place] = activation

    def observed(self, activation: Activation, stored: StoredEvent, state: RunState) -> None:
        """The observer of a drive was told of an event."""
        expected = activation.seqs[-1] + 1 if activation.seqs else stored.seq
        activation.seqs.append(stored.seq)
        written = self.written.get(stored.run_id, [])
        if stored.seq != expected or not 0 < stored.seq <= len(written):
            self.breaks("observers", f"{stored.run_id}: told of {stored.seq}, due was {expected}")
        elif (stored.event, stored.writer) != (written[stored.seq - 1].event, written[stored.seq - 1].writer):
            self.breaks("observers", f"{stored.run_id}: event {stored.seq} is another in the journal")
        elif state != self.states[stored.run_id][stored.seq]:
            self.breaks("observers", f"{stored.run_id}: another state at event {stored.seq}")

    def came_to_rest(self, activation: Activation, how: str) -> None:
        """A drive has ended, for whatever reason."""
        activation.how, activation.ended_at = how, anyio.current_time()
        self.saw(f"drive ended: {how}", activation.run_id, activation.process)
        if activation.running:
            names = ", ".join(_name(one) for one in activation.running)
            self.breaks("nothing left", f"a drive of {activation.run_id} ended ({how}) while {names} ran on")


def calls_of(event: ev.Event) -> tuple[str, ...]:
    """The ids of the calls that an event is about."""
    match event:
        case ev.ResultsRetried():
            return event.tool_call_ids
        case (
            ev.ToolStarted()
            | ev.ToolReturned()
            | ev.ToolFailed()
            | ev.RunDelegated()
            | ev.ApprovalRequested()
            | ev.InputRequested()
            | ev.ApprovalGranted()
            | ev.ApprovalDenied()
            | ev.InputGiven()
            | ev.RunEscalated()
        ):
            return (event.tool_call_id,)
        case _:
            return ()


def prefix_state(run_id: str, stored: Sequence[StoredEvent]) -> RunState:
    """The state that these events lead to, folded anew."""
    return replay(run_id, [one.event for one in stored])


def _name(execution: Execution) -> str:
    return f"{execution.name} ({execution.run_id}, event {execution.turn_seq}, call {execution.tool_call_id})"
