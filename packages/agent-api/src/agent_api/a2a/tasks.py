"""Runs as tasks: what another agent sees of one, how it begins one and goes on with it, and what it hears while one works."""

import time
from collections.abc import AsyncGenerator
from enum import StrEnum
from functools import partial

import msgspec

from agent_api.a2a.parts import CONTENT_TYPE_NOT_SUPPORTED, Said, files_in, said_in
from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.access.spending import SpendingBook
from agent_api.errors import A2aRefusedError, ScopeMissingError
from agent_api.following import asked_of_a_person, followed
from agent_api.openai.talk import WAITING, Waiting
from agent_api.supervisor import Supervisor
from agent_api.wire.runs import NewRun
from agent_core import events as ev
from agent_core.chat import TextDelta
from agent_core.errors import RunNotFoundError
from agent_core.messages import Message, Text
from agent_core.planning import ASKED, CallState
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState

TASK_NOT_FOUND = -32001
TASK_NOT_CANCELABLE = -32002
UNSUPPORTED_OPERATION = -32004
LOOK_AT_MOST = 200
"""How many of the newest runs a list is made from."""


class TaskState(StrEnum):
    """How a task stands, in the words of revision 0.3."""

    WORKING = "working"
    INPUT_REQUIRED = "input-required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


_STATES = {
    Phase.AWAITING: TaskState.INPUT_REQUIRED,
    Phase.DONE: TaskState.COMPLETED,
    Phase.FAILED: TaskState.FAILED,
    Phase.CANCELLED: TaskState.CANCELED,
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A run as another agent sees it. What it thinks and calls is not in there."""

    id: str
    context_id: str
    state: TaskState
    at: float
    """When it came to this, in seconds since the epoch."""
    said: str
    """What goes with the state: a question, or why it failed; empty: nothing."""
    asked: tuple[Said, ...]
    """What the task was begun with."""
    answer: str
    """Empty: there is none yet."""
    files: tuple[Said, ...] = ()
    """What comes with the answer."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED}


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the answer."""

    task: Task
    text: str
    is_more: bool
    """True: it goes behind what came before; False: it takes its place."""
    is_last: bool = False


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The task as it stands when somebody begins to listen."""

    task: Task


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """The task stands otherwise now."""

    task: Task


def task_of(state: RunState) -> Task:
    """A run as a task."""
    stands = _STATES.get(state.phase, TaskState.WORKING)
    said = asked_of_a_person(state) if stands is TaskState.INPUT_REQUIRED else state.error
    return Task(
        id=state.run_id,
        context_id=state.session_id,
        state=stands,
        at=state.updated_at,
        said=said,
        asked=said_in(state.input),
        answer=state.answer if stands is TaskState.COMPLETED else "",
        files=files_in(_last_said(state)) if stands is TaskState.COMPLETED else (),
    )


def _last_said(state: RunState) -> Message | None:
    return next((one for one in reversed(state.messages) if one.role == "assistant"), None)


class Tasks:
    """The tasks of a tenant, as one key may handle them."""

    def __init__(self, supervisor: Supervisor, principal: Principal, book: SpendingBook) -> None:
        self._supervisor = supervisor
        self._principal = principal
        self._book = book

    async def get(self, task_id: str) -> Task:
        """A task.

        Raises:
            A2aRefusedError: there is none of that id.
        """
        task = task_of(await self.load(task_id))
        if task.state is not TaskState.WORKING:
            return task
        view = await self._supervisor.view(task_id)  # knows why nobody drives it
        return msgspec.structs.replace(task, said=view.error)

    async def send(self, parts: tuple[Said, ...], *, task_id: str = "", context_id: str = "") -> Task:
        """Begin a task, or answer what one asks.

        Raises:
            A2aRefusedError: there is no such task, or it waits for nothing that a text can answer.
            ScopeMissingError: the key may not do this.
            AgentError: no more can be taken on, or the key has spent what it may.
        """
        text = "\n".join(part.text for part in parts if isinstance(part, Text))
        has_files = any(not isinstance(part, Text) for part in parts)
        if task_id:
            if has_files:
                raise A2aRefusedError(CONTENT_TYPE_NOT_SUPPORTED, "what a task asks is answered by a text")
            return await self._reply(text, task_id, context_id)
        self._need(Scope.RUNS_WRITE)
        key = self._principal.key
        self._book.check(key, time.time())
        own = partial(self._book.own, tenant=key.tenant, key_id=key.key_id)
        message = Message(role="user", parts=parts) if has_files else None
        new = NewRun(prompt=text, session_id=context_id)
        view = await self._supervisor.submit(
            new, message=message, on_named=own, attempt=self._principal.attempt
        )
        return await self.get(view.run_id)

    async def cancel(self, task_id: str) -> Task:
        """End a task.

        Raises:
            A2aRefusedError: there is no such task, or it is over.
            ScopeMissingError: the key may not do this.
        """
        self._need(Scope.RUNS_WRITE)
        if task_of(await self.load(task_id)).is_over:
            raise A2aRefusedError(TASK_NOT_CANCELABLE, f"task {task_id!r} is over")
        now = self._supervisor.agent.runner.now()
        await self._supervisor.command(task_id, ev.RunCancelled(at=now, by=self._by))
        return await self.get(task_id)

    async def listen(self, task_id: str) -> AsyncGenerator[Begun | Moved | Chunk | Waiting]:
        """The task, then what becomes of it, until it is over or waits for somebody. Who stops listening stops nothing.

        Raises:
            AgentError: the journal cannot be read.
        """
        state = await self.load(task_id)
        told, text, began = task_of(state), "", state.seq
        yield Begun(task=told)
        async for item, after in followed(self._supervisor, task_id):
            state = after
            if isinstance(item, Waiting):
                yield WAITING
            elif isinstance(item, TextDelta) and state.phase is Phase.REASONING:
                yield Chunk(task=told, text=item.text, is_more=bool(text))
                text += item.text
            elif isinstance(item, StoredEvent) and state.seq > began:
                if isinstance(item.event, ev.ToolsCalled | ev.PlanProposed):
                    text = ""  # what it said on the way is no answer: the next takes its place
                now = task_of(state)
                if now.answer and (now.answer != text or now.files):
                    yield Chunk(task=now, text=now.answer, is_more=False, is_last=True)
                if now.state is not told.state:
                    told = now
                    yield Moved(task=now)

    async def rest(self, task_id: str) -> Task:
        """The task once it is over or waits for somebody; as it is, where nobody drives it now."""
        async for _ in followed(self._supervisor, task_id):
            pass
        return await self.get(task_id)

    async def listed(
        self, *, context_id: str, state: TaskState | None, after: float, limit: int, token: str
    ) -> tuple[list[Task], str, int]:
        """Tasks, the newest first.

        Args:
            context_id: Of this context alone; empty: of all.
            state: That stand so; None: however they stand.
            after: That came to what they are after this time.
            limit: How many at most.
            token: Where the page before ended; empty: from the newest on.

        Returns:
            The page, where it ends (empty: there is nothing behind it), and how many there are in all; only the newest
            `LOOK_AT_MOST` are looked at.
        """
        runner, journal = self._supervisor.agent.runner, self._supervisor.agent.journal
        found: list[Task] = []
        async for head in journal.heads(session_id=context_id or None, limit=LOOK_AT_MOST):
            if head.last.event.at > after:
                task = task_of(await runner.load(head.run_id))
                if state is None or task.state is state:
                    found.append(task)
        start = next((place + 1 for place, task in enumerate(found) if task.id == token), 0)
        page = found[start : start + limit]
        return page, page[-1].id if page and start + limit < len(found) else "", len(found)

    async def _reply(self, text: str, task_id: str, context_id: str) -> Task:
        self._need(Scope.APPROVALS_WRITE)
        state = await self.load(task_id)
        if context_id and context_id != state.session_id:
            raise A2aRefusedError(TASK_NOT_FOUND, f"there is no task {task_id!r} in context {context_id!r}")
        asked = [call for call in state.calls.values() if call.status == ASKED and self._is_question(call)]
        if state.phase is not Phase.AWAITING or not asked:
            raise A2aRefusedError(UNSUPPORTED_OPERATION, _cannot_reply(task_of(state)))
        given = ev.InputGiven(
            at=self._supervisor.agent.runner.now(),
            tool_call_id=asked[0].call.tool_call_id,
            by=self._by,
            text=text,
        )
        await self._supervisor.command(task_id, given, seen=state.seq, attempt=self._principal.attempt)
        return await self.get(task_id)

    async def load(self, task_id: str) -> RunState:
        """The run that a task is.

        Raises:
            A2aRefusedError: there is none of that id.
        """
        try:
            return await self._supervisor.agent.runner.load(task_id)
        except RunNotFoundError as error:
            raise A2aRefusedError(TASK_NOT_FOUND, f"there is no task {task_id!r}") from error

    def may_push(self, *, write: bool) -> str:
        """The key that asks, which may handle push notifications.

        Raises:
            ScopeMissingError: it may not.
        """
        self._need(Scope.WEBHOOKS_WRITE if write else Scope.WEBHOOKS_READ)
        return self._principal.key.key_id

    def _is_question(self, call: CallState) -> bool:
        """Whether a text answers it: the others wait for a person to allow them."""
        spec = self._supervisor.agent.runner.adapters.tools.spec(call.call.name)
        return spec is not None and bool(spec.asks)

    def _need(self, scope: Scope) -> None:
        if scope not in self._principal.key.scopes:
            raise ScopeMissingError(scope)

    @property
    def _by(self) -> str:
        return f"key {self._principal.key.key_id}"


def _cannot_reply(task: Task) -> str:
    if task.is_over:
        return f"task {task.id!r} is over: send the message without a task to begin another in its context"
    if task.state is TaskState.INPUT_REQUIRED:
        return f"task {task.id!r} waits for a person to allow a call, which no message does: {task.said}"
    return f"task {task.id!r} is at work and takes no message now"
