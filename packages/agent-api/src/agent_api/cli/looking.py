"""Looking at runs without a model: list, show, cancel."""

import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypeAlias

import anyio
import msgspec

from agent_api.cli.visible import visible
from agent_api.composition import open_journal
from agent_api.ownership import Ownership
from agent_api.settings import Settings
from agent_api.wire.events import event_line, event_object
from agent_api.wire.runs import RunView, run_view
from agent_core.divergence import diverge
from agent_core.errors import RunNotFoundError
from agent_core.events import RunCancelled
from agent_core.ports import Journal, StoredEvent
from agent_core.state import RunState
from agent_core.system import SystemClock
from agent_core.transitions import evolve, replay

PROMPT_CHARS = 60
Folded: TypeAlias = list[tuple[StoredEvent, RunState]]
"""A journal, each event with the state that it led to."""


def list_runs(settings: Settings, *, limit: int, as_json: bool) -> int:
    """Print the newest runs; JSON: one object a line."""
    views = anyio.run(_views, settings, limit)
    if as_json:
        for view in views:
            sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
        return 0
    if not views:
        sys.stderr.write("no runs yet; `agent run PROMPT` starts one\n")
        return 0
    from rich.table import Table
    from rich.text import Text

    from agent_api.cli.terminal import table_console

    table = Table(box=None, pad_edge=False)
    for column, width in (("run", 30), ("status", 11), ("started", 19)):
        table.add_column(column, no_wrap=True, min_width=width)
    table.add_column("prompt", no_wrap=True, overflow="ellipsis")
    for view in views:
        started = datetime.fromtimestamp(view.started_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(view.run_id, view.status, started, Text(visible(_short(view.prompt))))
    table_console().print(table)
    return 0


def show_run(settings: Settings, run_id: str, *, as_json: bool) -> int:
    """Print every event of a run.

    Raises:
        RunNotFoundError: the journal knows no such run.
    """
    for stored, state in anyio.run(_events, settings, run_id):
        if as_json:
            sys.stdout.write(event_line(stored, state).decode() + "\n")
            continue
        sys.stdout.write(_line(stored, state) + "\n")
    return 0


def _line(stored: StoredEvent, state: RunState) -> str:
    fields = event_object(stored, state)
    rest = {key: value for key, value in fields.items() if key not in {"seq", "type", "at"}}
    at = datetime.fromtimestamp(state.updated_at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    details = json.dumps(rest, ensure_ascii=False) if rest else ""
    return visible(f"{stored.seq:>4}  {at}  {fields['type']:<20} {state.phase.value:<12} {details}")


def diff_runs(settings: Settings, left: str, right: str, *, as_json: bool) -> int:
    """Print where two runs part: the events of the first behind that, then those of the second.

    Raises:
        RunNotFoundError: the journal does not know one of them.
    """
    one, other = anyio.run(_both, settings, left, right)
    difference = diverge([stored.event for stored, _ in one], [stored.event for stored, _ in other])
    if not as_json:
        sys.stdout.write(f"the first {difference.common} events are the same\n")
    for mark, run_id, events in (("-", left, one), ("+", right, other)):
        for stored, state in events[difference.common :]:
            if as_json:
                row = {
                    "side": "left" if mark == "-" else "right",
                    "run_id": run_id,
                    **event_object(stored, state),
                }
                sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
            else:
                sys.stdout.write(f"{mark} {_line(stored, state)}\n")
    return 0


async def _both(settings: Settings, left: str, right: str) -> tuple[Folded, Folded]:
    async with open_journal(settings) as journal:
        one = [pair async for pair in _folded(journal, left)]
        return one, [pair async for pair in _folded(journal, right)]


def cancel_run(settings: Settings, run_id: str, *, by: str, as_json: bool) -> int:
    """End a run; a process that drives it stops at its next step."""
    stored, state = anyio.run(_cancel, settings, run_id, by)
    if as_json:
        sys.stdout.write(event_line(stored, state).decode() + "\n")
    else:
        sys.stderr.write(f"run {run_id} is cancelled\n")
    return 0


async def _views(settings: Settings, limit: int) -> list[RunView]:
    async with open_journal(settings) as journal:
        with Ownership(settings.data_path()) as ownership:
            return [
                run_view(await _load(journal, head.run_id), driven=ownership.is_owned(head.run_id))
                async for head in journal.heads(limit=limit)
            ]


async def _load(journal: Journal, run_id: str) -> RunState:
    return replay(run_id, [stored.event async for stored in journal.read(run_id)])


async def _events(settings: Settings, run_id: str) -> Folded:
    async with open_journal(settings) as journal:
        return [pair async for pair in _folded(journal, run_id)]


async def _folded(journal: Journal, run_id: str) -> AsyncIterator[tuple[StoredEvent, RunState]]:
    state = RunState(run_id=run_id)
    async for stored in journal.read(run_id):
        state = evolve(state, stored.event)
        yield stored, state
    if state.seq == 0:
        raise RunNotFoundError(run_id)


async def _cancel(settings: Settings, run_id: str, by: str) -> tuple[StoredEvent, RunState]:
    async with open_journal(settings) as journal:
        state = await _load(journal, run_id)
        if state.seq == 0:
            raise RunNotFoundError(run_id)
        event = RunCancelled(at=SystemClock().now(), by=by)
        after = evolve(state, event)
        seq = await journal.append(run_id, state.seq, (event,), writer=f"person:{by}")
        return StoredEvent(run_id=run_id, seq=seq, event=event), after


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= PROMPT_CHARS else line[: PROMPT_CHARS - 1] + "…"
