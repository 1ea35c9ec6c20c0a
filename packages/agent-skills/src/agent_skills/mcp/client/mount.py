"""`McpMount`: the approved tools of one server as skills of a registry, for as long as the server is there.

A lost server is called again after a pause that grows. Its skills stay meanwhile, and say that it is not there.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import Label
from agent_skills.decoded import as_object
from agent_skills.described import Call, described_skill
from agent_skills.errors import PluginRefusedError, SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.mcp import headers
from agent_skills.mcp.client.channel import Channel
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.pins import Judged, Pins, Standing
from agent_skills.mcp.client.questions import AskPerson
from agent_skills.mcp.client.results import as_pictures, as_text
from agent_skills.mcp.client.settings import McpServerSettings
from agent_skills.mcp.errors import McpError, McpRefusedError, McpUnavailableError
from agent_skills.registry import SkillRegistry
from agent_skills.results import Attached
from agent_skills.skill import AnySkill

logger = logging.getLogger(__name__)

MAX_PAUSE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.5
_MAX_NAME_CHARS: Final = 64
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


class McpMount:
    """One server and its skills. `run` in a task of its own; the rest may be looked at from any."""

    def __init__(
        self,
        settings: McpServerSettings,
        registry: SkillRegistry,
        pins: Pins,
        channel: Callable[[], Channel],
        *,
        ask_person: AskPerson | None = None,
    ) -> None:
        """`channel` makes a new channel for each attempt; see `agent_skills.mcp.client.mounting`."""
        self.settings = settings
        self._registry = registry
        self._pins = pins
        self._channel = channel
        self._ask = ask_person
        self._connection: McpConnection | None = None
        self._changed = anyio.Event()
        self._tools: list[JsonObject] = []
        self.tools: tuple[Judged, ...] = ()
        """Every tool that the server offers, mounted or not, and why not."""
        self.missing: tuple[str, ...] = ()
        """Tools that were approved and that it does not offer any more."""
        self.problem = "not connected yet"
        """Why the server is not there; empty: it is."""

    @property
    def plugin(self) -> str:
        """The name of the plugin that the skills belong to."""
        return f"mcp:{self.settings.name}"

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the server mounted until cancelled. `started` after the first attempt, however it ended."""
        pause_s = _FIRST_PAUSE_S
        is_first = True
        try:
            while True:
                try:
                    async with anyio.create_task_group() as tasks:
                        await self._connect(tasks)
                        pause_s = _FIRST_PAUSE_S
                        if is_first:
                            is_first = False
                            task_status.started()
                        await self._follow()
                except* McpError as group:
                    self.problem = str(_first(group))
                    logger.warning("%s; again in %.0f s", self.problem, pause_s)
                self._connection = None
                if is_first:
                    is_first = False
                    task_status.started()
                await anyio.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
        finally:
            self._unregister()

    def refuse(self, reason: str) -> None:
        """It is not to be connected to on this machine."""
        self.problem = f"MCP server {self.settings.name!r} is not mounted: {reason}"
        logger.warning("%s", self.problem)

    def approve(self, names: Sequence[str]) -> None:
        """Approve quarantined tools as they stand in `tools`, and mount them.

        Raises:
            KeyError: no tool of that name is offered.
            ValueError: one cannot be approved.
        """
        offered = {one.name: one for one in self.tools}
        self._pins.approve(self.settings.name, self._identity(), [offered[name] for name in names])
        self._mount()

    async def _connect(self, tasks: TaskGroup) -> None:
        settings = self.settings
        connection = McpConnection(
            settings.name,
            self._channel(),
            ask_person=self._ask,
            revision=settings.revision,
            on_change=self._note_change,
        )
        try:
            with anyio.fail_after(settings.connect_timeout_s):
                await tasks.start(connection.run)
                self._tools = await connection.list_all("tools/list", "tools")
        except TimeoutError:
            late = f"it did not answer within {settings.connect_timeout_s:g} s"
            raise McpUnavailableError(settings.name, late) from None
        self._connection = connection
        self.problem = ""
        self._mount()

    async def _follow(self) -> None:
        """Look again whenever the server says that its tools changed."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            if self._connection is not None:
                self._tools = await self._connection.list_all("tools/list", "tools")
                self._mount()

    def _note_change(self) -> None:
        self._changed.set()

    def _identity(self) -> str:
        """What the server says it is. Its version may change: that is what the hashes are for."""
        return str(self._connection.server.get("name", "")) if self._connection else ""

    def _mount(self) -> None:
        name = self.settings.name
        self.tools = tuple(self._pins.judge(name, self._identity(), self._tools))
        self.missing = tuple(self._pins.missing(name, self._tools))
        for one in self.tools:
            if one.standing is not Standing.APPROVED:
                logger.warning("MCP server %s: tool %r is %s: %s", name, one.name, one.standing, one.reason)
        approved = [one for one in self.tools if one.standing is Standing.APPROVED]
        skills = {
            mounted_name(name, one.name): self._skill(one)
            for one in approved
            if one.name not in self.settings.deny
        }
        self._unregister()
        try:
            self._registry.register(self.plugin, _Plugin(tuple(skills.values())))
        except PluginRefusedError as error:
            self.problem = str(error)
            logger.warning("%s", error)

    def _unregister(self) -> None:
        if self.plugin in self._registry.plugins:
            self._registry.unregister(self.plugin)

    def _skill(self, judged: Judged) -> AnySkill:
        tool, settings = judged.tool, self.settings
        return described_skill(
            name=mounted_name(settings.name, judged.name),
            description=str(tool.get("description") or tool.get("title") or judged.name),
            schema=as_object(tool.get("inputSchema")),
            call=self._caller(judged),
            labels=tuple(dict.fromkeys((*settings.labels, Label.RETURNS_UNTRUSTED))),
            roles=settings.roles.get(judged.name),
            fields=settings.fields.get(judged.name),
            idempotent=judged.name in settings.idempotent,
            timeout_s=settings.timeout_s,
        )

    def _caller(self, judged: Judged) -> Call:
        mirrored = headers.annotations(as_object(judged.tool.get("inputSchema")))

        async def call(arguments: JsonObject, context: ToolContext) -> str | Attached:
            if self._connection is None:
                raise SkillFailedError(self.problem, code="unavailable", retryable=True)
            params: JsonObject = {
                "name": judged.name,
                "arguments": dict(arguments),
                "_meta": {"agent/idempotencyKey": context.idempotency_key},
            }
            try:
                result = await self._connection.call(
                    "tools/call", params, headers=headers.custom(mirrored, arguments)
                )
            except McpUnavailableError as error:
                raise SkillFailedError(str(error), code="unavailable", retryable=error.retryable) from error
            except McpRefusedError as error:
                raise SkillFailedError(f"{self.settings.name}: {error}", code="refused") from error
            except McpError as error:
                raise SkillFailedError(str(error), code="failed") from error
            text = as_text(result)
            if result.get("isError") is True:
                raise SkillFailedError(text or "the tool failed and said nothing")
            pictures = as_pictures(result)
            return Attached(text, pictures) if pictures else text

        return call


def _first(group: BaseExceptionGroup[McpError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Plugin:
    def __init__(self, skills: tuple[AnySkill, ...]) -> None:
        self._skills = skills

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register them all."""
        for skill in self._skills:
            register(skill)


def mounted_name(server: str, tool: str) -> str:
    """What a model calls a tool of a server: `SERVER_TOOL`, shortened behind a hash where it is too long."""
    name = f"{server}_{_NO_NAME.sub('_', tool)}"
    if len(name) <= _MAX_NAME_CHARS and _NO_NAME.search(tool) is None:
        return name
    digest = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: _MAX_NAME_CHARS - 9]}_{digest}"
