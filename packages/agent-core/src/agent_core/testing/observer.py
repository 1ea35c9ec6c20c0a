"""An observer that records what it is told."""

from agent_core.chat import Delta
from agent_core.ports import StoredEvent
from agent_core.state import RunState


class RecordingObserver:
    """`events` holds each event with the state that it led to, `deltas` each delta with its run."""

    def __init__(self) -> None:
        self.events: list[tuple[StoredEvent, RunState]] = []
        self.deltas: list[tuple[str, Delta]] = []

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        """Record an event."""
        self.events.append((stored, state))

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """Record a delta."""
        self.deltas.append((run_id, delta))
