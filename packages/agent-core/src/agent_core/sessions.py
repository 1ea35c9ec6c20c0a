"""Order within a session: one drive at a time, the others wait in the order in which they came."""

from collections import deque

import anyio


def own_session(run_id: str) -> str:
    """The session of a run that is given none: named after it, so that whoever sees both knows that it is the first."""
    return f"session_{run_id.partition('_')[2] or run_id}"


class SessionOrder:
    """Turns of the sessions of one process. A session that nobody drives takes no room."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[anyio.Event] | None] = {}
        """Who waits for each session that is taken; None: nobody. A deque for each would be 600 bytes a run."""

    def enter(self, session_id: str) -> bool:
        """Take the session's turn if it is free; else `wait` for it. Pair either with `leave`."""
        if session_id in self._waiting:
            return False
        self._waiting[session_id] = None
        return True

    async def wait(self, session_id: str) -> None:
        """Wait for the session's turn and take it."""
        turn = anyio.Event()
        waiting = self._waiting[session_id] or deque()
        self._waiting[session_id] = waiting
        waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:  # cancelled: the turn, if it came meanwhile, goes to the next
            if turn.is_set():
                self.leave(session_id)
            else:
                waiting.remove(turn)
            raise

    def leave(self, session_id: str) -> None:
        """Give the turn to who waited longest."""
        waiting = self._waiting[session_id]
        if waiting:
            waiting.popleft().set()
        else:
            del self._waiting[session_id]
