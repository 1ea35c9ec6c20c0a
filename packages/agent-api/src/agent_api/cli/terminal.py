"""What a person sees while a run goes on: the answer on standard output, phases and tool calls on standard error."""

import os
import sys
from typing import TYPE_CHECKING

from agent_api.cli.visible import visible, visible_call
from agent_api.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_WAITING
from agent_api.wire.events import event_line
from agent_core import events as ev
from agent_core.chat import Delta, TextDelta
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState

if TYPE_CHECKING:
    from rich.console import Console

MAX_SHOWN_CHARS = 300


class TerminalView:
    """An observer that prints: JSON lines, or text for people."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.run_id = ""
        self._details = sys.stderr.isatty() and not as_json
        self._color = self._details and not _no_color()
        self._phase = Phase.IDLE
        self._streamed = False

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Print an event."""
        self.run_id = state.run_id
        if self.as_json:
            sys.stdout.write(event_line(stored, state).decode() + "\n")
            sys.stdout.flush()
            return
        self._show_event(stored.event, state)

    def on_delta(self, run_id: str, delta: Delta) -> None:  # noqa: ARG002  # the port's signature
        """Print a piece of the answer."""
        if isinstance(delta, TextDelta) and not self.as_json:
            self._streamed = True
            sys.stdout.write(visible(delta.text))
            sys.stdout.flush()

    def _show_event(self, event: ev.Event, state: RunState) -> None:
        match event:
            case ev.ModelAnswered() | ev.ToolsCalled() | ev.PlanProposed():
                if isinstance(event, ev.ModelAnswered) and not self._streamed:
                    sys.stdout.write(visible(event.message.text))
                if isinstance(event, ev.ModelAnswered) or self._streamed:
                    sys.stdout.write("\n")
                    sys.stdout.flush()
                self._streamed = False
                for call in event.message.tool_calls:
                    self.say(f"→ {visible_call(call.name, call.arguments)}")
            case ev.ToolReturned() | ev.ToolFailed():
                mark = "✗" if event.result.is_error else "←"
                self.say(f"{mark} {_short(event.result.content)}")
            case ev.LimitReached():
                self.say(f"! limit reached: {event.limit}")
            case _:
                pass
        if state.phase is not self._phase:
            self._phase = state.phase
            self.say(f"· {state.phase.value}")

    def say(self, text: str) -> None:
        """Show a detail on a terminal; nothing where nobody looks."""
        if self._details:
            shown = visible(text)
            sys.stderr.write(f"\x1b[2m{shown}\x1b[0m\n" if self._color else f"{shown}\n")
            sys.stderr.flush()


def conclude(state: RunState) -> int:
    """Say on standard error what a person must know beyond the answer; the exit code."""
    match state.phase:
        case Phase.DONE:
            if state.limit_reached:
                sys.stderr.write(f"note: the limit on {state.limit_reached} was reached\n")
            return EXIT_OK
        case Phase.AWAITING:
            for call in state.calls.values():
                if call.question:
                    asked = visible_call(call.call.name, call.call.arguments)
                    sys.stderr.write(f"waiting for a person: {visible(call.question)}\n  {asked}\n")
            sys.stderr.write(f"  agent runs approve {state.run_id}   or   agent runs deny {state.run_id}\n")
            return EXIT_WAITING
        case _:
            sys.stderr.write(f"error: the run {state.phase.value}: {visible(state.error)}\n")
            return EXIT_FAILED


def _short(text: str) -> str:
    line = " ⏎ ".join(text.split("\n"))
    return line if len(line) <= MAX_SHOWN_CHARS else line[: MAX_SHOWN_CHARS - 1] + "…"


def _no_color() -> bool:
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def table_console() -> "Console":
    """Where tables are printed; with NO_COLOR set they are plain text: no bold either."""
    from rich.console import Console

    return Console(force_terminal=False if _no_color() else None)
