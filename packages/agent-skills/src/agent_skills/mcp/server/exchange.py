"""One request as its method sees it: who asks, what may be said meanwhile, and what the client's user can be asked.

A method is written once for both kinds of revision. Where the client can be asked at once (a handshake was made),
`ask` waits for the answer; in the stateless revision it ends the request with `InputNeeded`, and the client makes the
request again with the answers, all of them, so that the method runs from its beginning and gets further.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.wire import LOG_LEVEL_KEY, Code, Message, RequestId, notification

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

_CAPABILITY = MappingProxyType({ELICIT: "elicitation", SAMPLE: "sampling", ROOTS: "roots"})
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_MAY_ASK = frozenset({"tools/call", "prompts/get", "resources/read"})

Send = Callable[[Message], Awaitable[None]]
Ask = Callable[[str, JsonObject], Awaitable[JsonObject]]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only the client can answer."""

    method: str
    """`ELICIT`, `SAMPLE` or `ROOTS`."""
    params: JsonObject = {}


class InputNeeded(Exception):  # noqa: N818 - no error: the way in which a stateless request asks
    """The request ends here and is made again, with answers."""

    def __init__(self, questions: Mapping[str, Question], state: JsonObject) -> None:
        super().__init__("input needed")
        self.questions = questions
        self.state = state


class Exchange:
    """One request under way."""

    def __init__(
        self,
        message: Message,
        *,
        capabilities: JsonObject,
        send: Send,
        ask: Ask | None = None,
        log_level: str = "",
        state: JsonObject | None = None,
    ) -> None:
        """`ask` asks the client at once; None: the request is stateless. `state`: what earlier rounds left."""
        self.request = message
        self.capabilities = capabilities
        self._send = send
        self._ask = ask
        self._log_level = log_level or str(message.meta.get(LOG_LEVEL_KEY, ""))
        kept = state or {}
        self.state = as_object(kept.get("state"))
        """What the method gave to `ask` in the round before; empty in the first."""
        self._answers = {**as_object(kept.get("answers")), **as_object(message.given.get("inputResponses"))}

    @property
    def is_stateless(self) -> bool:
        """True where the client cannot be asked at once."""
        return self._ask is None

    @property
    def request_id(self) -> RequestId:
        """The id of the request."""
        return self.request.id if isinstance(self.request.id, int | str) else ""

    async def notify(self, method: str, params: JsonObject) -> None:
        """Tell the client something while the request runs."""
        await self._send(notification(method, params))

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far it is; nothing is sent where the client did not ask for it."""
        token = self.request.meta.get("progressToken")
        if token is None:
            return
        params: dict[str, Any] = {"progressToken": token, "progress": done}
        if total is not None:
            params["total"] = total
        if message:
            params["message"] = message
        await self.notify("notifications/progress", params)

    async def log(self, level: str, data: object) -> None:
        """Send a line of log, where the client asked for lines of this level."""
        if self._log_level in _LEVELS and _LEVELS.index(level) >= _LEVELS.index(self._log_level):
            await self.notify("notifications/message", {"level": level, "data": data})

    def require(self, capability: str) -> None:
        """Hold that the client can do something.

        Raises:
            McpRefusedError: it did not say so.
        """
        if capability not in self.capabilities:
            raise McpRefusedError(
                Code.MISSING_CAPABILITY,
                f"this needs a client with the capability {capability!r}",
                {"requiredCapabilities": {capability: {}}},
            )

    async def ask(
        self, questions: Mapping[str, Question], state: JsonObject | None = None
    ) -> Mapping[str, JsonObject]:
        """Ask the client, and so its user or its model.

        Args:
            questions: each under a key that stays the same when the request is made again.
            state: what the method wants to find in `self.state` in the next round, of a stateless request.

        Raises:
            McpRefusedError: the client cannot be asked this.
            InputNeeded: the request goes on when it is made again; let it pass.
        """
        for question in questions.values():
            self.require(_CAPABILITY[question.method])
        if self._ask is not None:
            return {key: await self._ask(one.method, one.params) for key, one in questions.items()}
        if self.request.name not in _MAY_ASK:
            raise McpRefusedError(Code.INTERNAL, f"{self.request.name} may not ask the client")
        found = {
            key: as_object(self._answers[key])
            for key, one in questions.items()
            if self._is_answered(key, one)
        }
        if len(found) == len(questions):
            return found
        raise InputNeeded(questions, self._kept(state))

    def _kept(self, state: JsonObject | None) -> JsonObject:
        answers = {key: as_object(value) for key, value in self._answers.items()}
        kept: dict[str, object] = {"answers": answers} if answers else {}
        return {**kept, "state": dict(state)} if state else kept

    def _is_answered(self, key: str, question: Question) -> bool:
        answer = as_object(self._answers.get(key))
        match question.method:
            case "elicitation/create":
                accepted = answer.get("action") == "accept" and _fits(answer.get("content"), question.params)
                return accepted or answer.get("action") in {"decline", "cancel"}
            case "sampling/createMessage":
                return "content" in answer
            case _:
                return isinstance(answer.get("roots"), list)


def _fits(content: object, params: JsonObject) -> bool:
    """Whether the content of a form is an object with all that the form demands."""
    required = as_object(params.get("requestedSchema")).get("required")
    return isinstance(content, dict) and all(key in content for key in as_list(required))
