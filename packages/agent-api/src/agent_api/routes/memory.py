"""`/api/v1/memory`: what is kept of a tenant beyond its sessions: read by pages, searched, erased."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.archives import MEDIA_TYPE
from agent_api.errors import InvalidRequestError, NotFoundError, ScopeMissingError
from agent_api.imports import ImportView
from agent_api.pieces import Pieces
from agent_api.supervisor import Supervisor
from agent_memory import Episode, Fact, Forgetting, Forgotten, Hit, LongTermMemory


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is kept."""

    kind: Literal["episode", "fact"]
    id: int
    text: str
    at: float
    """When it was said, or began to be held, in seconds since the epoch."""
    session_id: str = ""
    speaker: str = ""
    run_id: str = ""
    valid_from: float | None = None
    """Of a fact; null: always."""
    valid_to: float | None = None
    """Of a fact; null: still."""
    why: str = ""
    """What made a search find it."""


class RememberedList(msgspec.Struct, frozen=True, kw_only=True):
    """Things that are kept."""

    items: tuple[Remembered, ...]


class RememberedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes, in the order in which they were added."""

    items: tuple[Remembered, ...]
    next_cursor: int | None = None


class MemoryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/memory/search`."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class NewForgetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/memory/forget`: whatever any of these names."""

    session_id: str = ""
    speaker: str = ""
    subject: str = ""
    containing: str = ""
    """All in which these words stand, in any case."""
    episode_ids: tuple[int, ...] = ()
    fact_ids: tuple[int, ...] = ()
    run_ids: tuple[str, ...] = ()


_BYTES = "application/octet-stream"
"""What programs that read the document know how to send; a body is taken by what is in it."""
_ARCHIVE = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)


@dataclass
class ImportOperation(Operation):
    """Its body is an archive, which has no schema."""

    def __post_init__(self) -> None:
        """Say what the body is."""
        shown = Example(summary="an export", value="the bytes of memory.tar")
        content = {_BYTES: OpenAPIMediaType(schema=_ARCHIVE, examples={"export": shown})}
        self.request_body = RequestBody(
            content=content, required=True, description="The tar archive that `/export` gave."
        )


@dataclass
class ExportOperation(Operation):
    """Its reply is an archive."""

    def __post_init__(self) -> None:
        """Say what the reply is."""
        content = {MEDIA_TYPE: OpenAPIMediaType(schema=_ARCHIVE)}
        self.responses = {"200": OpenAPIResponse(description="The archive.", content=content)}


class MemoryController(Controller):
    """The long-term memory."""

    path = "/api/v1/memory"
    tags = ("memory",)

    @get(opt={"scope": Scope.MEMORY_READ}, summary="Export what was said")
    async def episodes(
        self,
        supervisor: NamedDependency[Supervisor],
        cursor: Annotated[
            int, QueryParameter(ge=0, le=2**62, description="`next_cursor` of the page before.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 200,
    ) -> RememberedPage:
        """Everything that was said or noted, the oldest first."""
        items: list[Remembered] = []
        async for episode in _memory(supervisor).episodes(after_id=cursor):
            if len(items) == limit:
                return RememberedPage(items=tuple(items), next_cursor=items[-1].id)
            items.append(_shown(episode))
        return RememberedPage(items=tuple(items))

    @get("/facts", opt={"scope": Scope.MEMORY_READ}, summary="Export the facts")
    async def facts(self, supervisor: NamedDependency[Supervisor]) -> RememberedList:
        """Every fact that is held, the oldest truth first."""
        return RememberedList(items=tuple(map(_shown, await _memory(supervisor).facts())))

    @get(
        "/export",
        opt={"scope": Scope.MEMORY_READ},
        operation_class=ExportOperation,
        summary="Export everything",
    )
    async def export(
        self,
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
        bases: Annotated[
            bool, QueryParameter(description="The knowledge bases too; needs `knowledge:read`.")
        ] = False,
    ) -> Stream:
        """All that is remembered as a tar archive of JSON Lines, as `agent memory export` writes them; `/import` takes it."""
        if bases:
            _need(principal, Scope.KNOWLEDGE_READ)
        made = await supervisor.imports.export(bases=bases)
        return Pieces(
            made.pieces(),
            media_type=MEDIA_TYPE,
            headers={
                "Content-Length": str(made.size),
                "Content-Disposition": 'attachment; filename="memory.tar"',
                "Cache-Control": "no-store",
            },
        )

    @post(
        "/import",
        opt={"scope": Scope.MEMORY_WRITE, "told_anew": True},
        status_code=HTTP_202_ACCEPTED,
        request_max_body_size=None,  # a setting of its own
        operation_class=ImportOperation,
        summary="Import an export",
    )
    async def import_all(
        self,
        request: Request[Any, Any, State],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
    ) -> ImportView:
        """Bring back, in the background, what `/export` gave: all of it or nothing, to where nothing of it is yet. Knowledge bases
        in it need `knowledge:write`. Sent again with its `Idempotency-Key`, this tells how far it is.
        """
        pieces = request.stream()

        async def next_piece() -> bytes:
            return await anext(pieces, b"")

        return await supervisor.imports.receive(
            next_piece, principal.attempt, with_knowledge=Scope.KNOWLEDGE_WRITE in principal.key.scopes
        )

    @get("/imports/{import_id:str}", opt={"scope": Scope.MEMORY_READ}, summary="How far an import is")
    async def imported(self, import_id: FromPath[str], supervisor: NamedDependency[Supervisor]) -> ImportView:
        """Known until a hundred later ones are over."""
        return supervisor.imports.view(import_id)

    @post("/search", opt={"scope": Scope.MEMORY_READ}, status_code=HTTP_200_OK, summary="Search the memory")
    async def search(
        self, data: JSONBody[MemoryQuery], supervisor: NamedDependency[Supervisor]
    ) -> RememberedList:
        """Facts that fit, then what was said, each best first and with its reason."""
        memory = _memory(supervisor)
        hits: list[Hit] = [
            *await memory.search_facts(data.query, k=data.k),
            *await memory.search(data.query, k=data.k),
        ]
        return RememberedList(items=tuple(_shown(hit.item, str(hit.why())) for hit in hits[: data.k]))

    @post("/forget", opt={"scope": Scope.MEMORY_WRITE}, status_code=HTTP_200_OK, summary="Erase for good")
    async def forget(
        self, data: JSONBody[NewForgetting], supervisor: NamedDependency[Supervisor]
    ) -> Forgotten:
        """No byte of it stays in the memory; the journal of runs is another thing, and stays."""
        if data == NewForgetting():
            raise InvalidRequestError("say what to forget: nothing is named", param="session_id")
        what = Forgetting(
            session_id=data.session_id or None,
            speaker=data.speaker or None,
            subject=data.subject or None,
            containing=data.containing or None,
            episode_ids=data.episode_ids,
            fact_ids=data.fact_ids,
            run_ids=data.run_ids,
        )
        return await _memory(supervisor).forget(what)


def _need(principal: Principal, scope: Scope) -> None:
    if scope not in principal.key.scopes:
        raise ScopeMissingError(scope)


def _memory(supervisor: Supervisor) -> LongTermMemory:
    memory = supervisor.agent.memory
    if memory is None:
        raise NotFoundError("this daemon keeps nothing beyond sessions: its setting long_term is off")
    return memory.long_term


def _shown(item: Episode | Fact, why: str = "") -> Remembered:
    if isinstance(item, Episode):
        return Remembered(
            kind="episode",
            id=item.id,
            text=item.text,
            at=item.said_at,
            session_id=item.session_id,
            speaker=item.speaker,
            run_id=item.run_id,
            why=why,
        )
    return Remembered(
        kind="fact",
        id=item.id,
        text=item.sentence,
        at=item.recorded_at,
        valid_from=item.valid_from if math.isfinite(item.valid_from) else None,
        valid_to=item.valid_to if math.isfinite(item.valid_to) else None,
        why=why,
    )
