"""Writes the reference pages that are made from code: `python docs/generate.py`, and with `--check` only looks.

A page is what the code says: the table and the diagram come from `agent_core.transitions`, what each phase owes from
`owed` itself, what dispatching settles in from `settle`, the errors from the libraries' `errors` modules.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, not a package

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import get_args

from agent_core import effects as eff
from agent_core import events as ev
from agent_core.errors import AgentError
from agent_core.limits import Limits
from agent_core.planning import CallState, CallStatus
from agent_core.state import Phase, RunState
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import TRANSITIONS, owed, settle

PAGES = Path(__file__).parent / "reference"
LIBRARIES = ("agent_core", "agent_gateway", "agent_memory", "agent_skills", "agent_api")
STOPS = (ev.RunCancelled, ev.RunFailed)
ENTERED_WHEN = {
    Phase.IDLE: "created",
    Phase.PERCEIVING: "the input is given",
    Phase.REASONING: "the context or results are there",
    Phase.DISPATCHING: "calls are ready",
    Phase.AWAITING: "nothing can run, and a person is asked",
    Phase.REFLECTING: "all calls that could run are back",
    Phase.RESPONDING: "an answer stands",
    Phase.DONE: "the outcome is stored",
    Phase.FAILED: "the run cannot go on",
    Phase.CANCELLED: "somebody ended the run",
}


def main() -> int:
    """Write the pages, or with `--check` say which are stale."""
    pages = {"state-machine.md": state_machine(), "errors.md": errors()}
    stale = [name for name, text in pages.items() if _read(PAGES / name) != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            sys.stderr.write(
                f"docs/reference/{name} is not what the code says: run `python docs/generate.py`\n"
            )
        return bool(stale)
    PAGES.mkdir(exist_ok=True)
    for name in stale:
        (PAGES / name).write_text(pages[name], encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


# ── the state machine ────────────────────────────────────────────────────────────────────────────────────────────


def state_machine() -> str:
    """The page of the state machine."""
    return f"""# The state machine of a run

*Made by `docs/generate.py` from `agent_core.transitions`; do not edit.*

A run is the fold of its journal. An event moves it by the table; an event that is not in the row of the phase is
refused with `IllegalEventError`, and one that completes a call that nobody waits for with `StaleCompletionError`.
Dispatching alone also moves by itself: after every event it settles where its calls are. What a run *owes* follows
from its state, so taking up a run after a crash is nothing but `owed(replay(journal))`.

## Phases

{_table(("phase", "entered when", "owes", "leaves on"), _phase_rows())}

From every phase between idle and an end, `run.cancelled` leads to cancelled and `run.failed` to failed.

## Diagram

```mermaid
{chr(10).join(_diagram())}
```

## Events

{_table(("event", "class", "means", "legal in"), _event_rows())}

## Effects

{_table(("effect", "means"), ((f"`{one.__name__}`", _means(one)) for one in get_args(eff.Effect)))}
"""


def _phase_rows() -> Iterator[tuple[str, ...]]:
    for phase, row in TRANSITIONS.items():
        owes = ", ".join(f"`{name}`" for name in _owed_in(phase))
        leaves = ", ".join(
            f"`{ev.event_type(event)}`"
            for event, target in row.items()
            if event not in STOPS and (target is not phase or phase is Phase.DISPATCHING)
        )
        yield phase.value, ENTERED_WHEN[phase], owes or "-", leaves or "-"


def _event_rows() -> Iterator[tuple[str, ...]]:
    for event in get_args(ev.Event):
        phases = [phase.value for phase, row in TRANSITIONS.items() if event in row]
        legal = "every phase between idle and an end" if event in STOPS else ", ".join(phases)
        yield f"`{ev.event_type(event)}`", f"`{event.__name__}`", _means(event), legal


def _owed_in(phase: Phase) -> list[str]:
    """The kinds of effects that any small state in `phase` owes."""
    return list(dict.fromkeys(type(effect).__name__ for state in _states(phase) for effect in owed(state)))


def _states(phase: Phase) -> Iterator[RunState]:
    for calls, limits, accepted in product(_call_sets(), (Limits(), Limits(turns=0)), (False, True)):
        state = RunState(run_id="r", phase=phase, calls=calls, limits=limits, answer_accepted=accepted)
        if settle(state.phase, state.calls) is phase:
            yield state


def _call_sets() -> Iterator[dict[str, CallState]]:
    """No call, and two calls in every pair of places."""
    yield {}
    places = [(status, judged) for status in CallStatus for judged in (False, True)]
    for pair in product(places, places):
        yield {
            key: CallState(
                call=ToolCall(tool_call_id=key, name="t", arguments={}),
                status=status,
                judged=judged,
                result=ToolResult(tool_call_id=key, content=""),
            )
            for key, (status, judged) in zip("ab", pair, strict=True)
        }


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> idle"
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for phase, row in TRANSITIONS.items():
        for event, target in row.items():
            if event not in STOPS:
                arrows.setdefault((phase, target), []).append(ev.event_type(event))
    for (phase, target), names in arrows.items():
        yield f"    {phase} --> {target}: {', '.join(names)}"
    settled = {settle(Phase.DISPATCHING, calls) for calls in _call_sets()}
    for target in Phase:
        if target in settled - {Phase.DISPATCHING}:
            yield f"    dispatching --> {target}: (settles)"
    for end in (phase for phase, row in TRANSITIONS.items() if not row):
        yield f"    {end} --> [*]"


# ── the errors ───────────────────────────────────────────────────────────────────────────────────────────────────


def errors() -> str:
    """The page of the error tree."""
    classes = [cls for library in LIBRARIES for cls in _errors_of(library)]
    return f"""# Errors

*Made by `docs/generate.py` from the libraries' `errors` modules; do not edit.*

Every error of the five libraries is below `AgentError`. *Again?* says whether the same call may succeed if it is made
again (`retryable`).

```text
{chr(10).join(_tree(AgentError, classes, ""))}
```

{_table(("error", "library", "again?", "means"), (_error_row(cls) for cls in classes))}
"""


def _errors_of(library: str) -> list[type[AgentError]]:
    if importlib.util.find_spec(f"{library}.errors") is None:
        return []
    module = importlib.import_module(f"{library}.errors")
    found = [cls for cls in vars(module).values() if inspect.isclass(cls) and issubclass(cls, AgentError)]
    return [cls for cls in found if cls.__module__ == module.__name__]


def _tree(cls: type[AgentError], classes: list[type[AgentError]], indent: str) -> Iterator[str]:
    if not indent:
        yield cls.__name__
    below = [other for other in classes if other.__base__ is cls]
    for other in below:
        last = other is below[-1]
        yield f"{indent}{'└── ' if last else '├── '}{other.__name__}"
        yield from _tree(other, classes, indent + ("    " if last else "│   "))


def _error_row(cls: type[AgentError]) -> tuple[str, ...]:
    library = cls.__module__.split(".", maxsplit=1)[0].replace("_", "-")
    return f"`{cls.__name__}`", library, "yes" if cls.retryable else "no", _means(cls)


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _means(cls: type) -> str:
    """The first paragraph of a class's docstring, as one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
