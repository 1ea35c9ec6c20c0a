"""`/api/v1/sessions`: conversations of runs: named, listed, read and erased."""

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.daemon import Daemon
from agent_api.erasure import erase
from agent_api.operations import Operations
from agent_api.sessions import MessagePage, SessionMetadata, SessionPage, SessionView, SessionWhole

MAX_PAGE = 200


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/sessions`."""

    name: Annotated[str, msgspec.Meta(max_length=200, examples=["Pump 3"])] = ""
    metadata: SessionMetadata = {}


class ChangeSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /api/v1/sessions/{id}`; what is left out stays."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    metadata: SessionMetadata | None = None


class ErasedSession(msgspec.Struct, frozen=True, kw_only=True):
    """That a session is gone."""

    session_id: str
    runs: int
    """How many it had."""


class SessionsController(Controller):
    """Sessions of one tenant."""

    path = "/api/v1/sessions"
    tags = ("sessions",)

    @post(opt={"scope": Scope.RUNS_WRITE}, status_code=HTTP_201_CREATED, summary="Make a session")
    async def create(
        self,
        data: JSONBody[NewSession],
        operations: NamedDependency[Operations],
        principal: NamedDependency[Principal],
    ) -> SessionView:
        """A session without runs; a run names it as `session_id`. One that a run names and nobody made is made by it."""
        return await operations.sessions.create(
            name=data.name, metadata=data.metadata, attempt=principal.attempt
        )

    @get(opt={"scope": Scope.RUNS_READ}, summary="List sessions")
    async def page(
        self,
        operations: NamedDependency[Operations],
        cursor: Annotated[
            str, QueryParameter(max_length=1000, description="`next_cursor` of the page before.")
        ] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 50,
    ) -> SessionPage:
        """The one used last first."""
        return await operations.sessions.page(cursor=cursor, limit=limit)

    @get("/{session_id:str}", opt={"scope": Scope.RUNS_READ}, summary="Look at a session")
    async def show(self, session_id: FromPath[str], operations: NamedDependency[Operations]) -> SessionWhole:
        """With its newest runs, in their order."""
        return await operations.sessions.whole(session_id)

    @get("/{session_id:str}/messages", opt={"scope": Scope.RUNS_READ}, summary="What was said in a session")
    async def messages(
        self,
        session_id: FromPath[str],
        operations: NamedDependency[Operations],
        cursor: Annotated[str, QueryParameter(description="`next_cursor` of the page before.")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="How many runs.")] = 20,
    ) -> MessagePage:
        """Of each run its input, its calls with their results, and its answer: the oldest run first."""
        return await operations.sessions.messages(session_id, cursor=cursor, limit=limit)

    @patch("/{session_id:str}", opt={"scope": Scope.RUNS_WRITE}, summary="Rename a session")
    async def change(
        self,
        session_id: FromPath[str],
        data: JSONBody[ChangeSession],
        operations: NamedDependency[Operations],
    ) -> SessionView:
        """Another name, other metadata."""
        return await operations.sessions.change(session_id, name=data.name, metadata=data.metadata)

    @delete(
        "/{session_id:str}",
        opt={"scope": Scope.RUNS_WRITE},
        status_code=HTTP_200_OK,
        summary="Erase a session",
    )
    async def erase(
        self,
        session_id: FromPath[str],
        operations: NamedDependency[Operations],
        daemon: NamedDependency[Daemon],
    ) -> ErasedSession:
        """For good: its runs, what is remembered of them, its name. Refused while a run of it is not over."""
        runs = await erase(operations.sessions, session_id, daemon.replies)
        return ErasedSession(session_id=session_id, runs=runs)
