"""`/api/v1/knowledge`: what a tenant's documents say; documents are put in, searched and erased.

What is read comes with the request, or lies in the tenant's workspace: no path leads out of it, and no address is fetched.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import anyio.to_thread
import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.errors import InvalidRequestError
from agent_api.ingests import IngestView
from agent_api.knowledge import Base
from agent_api.supervisor import Supervisor
from agent_core.knowledge import Between, Passage
from agent_memory import BUILT_IN

Value: TypeAlias = str | int | float | bool
Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Source: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]

MAX_DOCUMENTS = 1_000
_PART = re.compile(r"[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}")
"""A part of a document's name: it becomes that of a file, and those that begin with a dot are not read."""


class NewDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document that comes with the request."""

    source: Source
    """What citations call it, such as `manuals/pump.md`; its ending says how it is read."""
    text: str | None = None
    content: bytes | None = None
    """In the place of `text`: the bytes, as base64."""


class NewIngest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/knowledge`."""

    name: Name
    """The knowledge base; it is made where there is none."""
    documents: Annotated[tuple[NewDocument, ...], msgspec.Meta(max_length=MAX_DOCUMENTS)] = ()
    paths: Annotated[tuple[Source, ...], msgspec.Meta(max_length=MAX_DOCUMENTS)] = ()
    """Files and folders of the workspace, relative to it."""
    like: str = ""
    """The domain that a new base is like: how it is cut. Empty: `general`."""
    remove_missing: bool = False
    """What lay in one of the folders and is gone, goes from the base too."""


class KnowledgeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/knowledge/search`."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=20)] = ()
    """Where to look; none: wherever it fits."""
    filters: dict[str, Value | tuple[Value, ...] | Between] = {}


class BaseList(msgspec.Struct, frozen=True, kw_only=True):
    """The knowledge bases of a tenant."""

    items: tuple[Base, ...]


class SourcePage(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a base, sorted."""

    items: tuple[str, ...]
    next_cursor: str | None = None


class PassageList(msgspec.Struct, frozen=True, kw_only=True):
    """The passages that fit a query, best first."""

    items: tuple[Passage, ...]


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How many sources were erased."""

    removed: int


class KnowledgeController(Controller):
    """Knowledge bases."""

    path = "/api/v1/knowledge"
    tags = ("knowledge",)

    @get(opt={"scope": Scope.KNOWLEDGE_READ}, summary="List knowledge bases")
    async def bases(self, supervisor: NamedDependency[Supervisor]) -> BaseList:
        """Those that hold something."""
        return BaseList(items=tuple(await supervisor.agent.knowledge.bases()))

    @post(
        opt={"scope": Scope.KNOWLEDGE_WRITE, "told_anew": True},
        status_code=HTTP_202_ACCEPTED,
        summary="Put documents in",
    )
    async def ingest(
        self,
        data: JSONBody[NewIngest],
        supervisor: NamedDependency[Supervisor],
        principal: NamedDependency[Principal],
    ) -> IngestView:
        """Read documents in the background; ask `/ingests/{ingest_id}` how far it is. Sent again with its `Idempotency-Key`, this
        tells how far it is, and goes on with what a daemon's end broke off.
        """
        attempt = principal.attempt
        if attempt.is_again and (known := supervisor.ingests.known(attempt.stem_id("ingest"))) is not None:
            return known
        supervisor.ingests.check()
        if data.like and data.like not in BUILT_IN:
            raise InvalidRequestError(
                f"there is no domain {data.like!r}; there are {', '.join(BUILT_IN)}", param="like"
            )
        uploads = supervisor.agent.knowledge.uploads(data.name)
        workspace = Path(supervisor.agent.settings.workspace)
        contents = list(_contents(uploads, data.documents))
        found = await anyio.to_thread.run_sync(_in_workspace, workspace, data.paths)
        await anyio.to_thread.run_sync(_write, contents)
        origins = [*(path for path, _ in contents), *found]
        if not origins:
            raise InvalidRequestError("there is nothing to read: give documents or paths", param="documents")
        return supervisor.ingests.begin(
            data.name,
            origins,
            like=data.like,
            remove_missing=data.remove_missing,
            ingest_id=attempt.fixed_id("ingest"),
        )

    @get("/ingests/{ingest_id:str}", opt={"scope": Scope.KNOWLEDGE_READ}, summary="How far an ingest is")
    async def progress(self, ingest_id: FromPath[str], supervisor: NamedDependency[Supervisor]) -> IngestView:
        """Known until a hundred later ones are over; one that the daemon's end broke off is not."""
        return supervisor.ingests.view(ingest_id)

    @post("/search", opt={"scope": Scope.KNOWLEDGE_READ}, status_code=HTTP_200_OK, summary="Search knowledge")
    async def search(
        self, data: JSONBody[KnowledgeQuery], supervisor: NamedDependency[Supervisor]
    ) -> PassageList:
        """The passages that fit best, each with its source."""
        found = await supervisor.agent.knowledge.search(
            data.query, k=data.k, filters=data.filters, domains=data.names
        )
        return PassageList(items=tuple(found))

    @get("/bases/{name:str}", opt={"scope": Scope.KNOWLEDGE_READ}, summary="List the sources of a base")
    async def sources(
        self,
        name: FromPath[str],
        supervisor: NamedDependency[Supervisor],
        cursor: Annotated[str, QueryParameter(description="`next_cursor` of the page before.")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 200,
    ) -> SourcePage:
        """What is in it, sorted by name."""
        behind = [one for one in await supervisor.agent.knowledge.sources(name) if one > cursor]
        more = len(behind) > limit
        return SourcePage(items=tuple(behind[:limit]), next_cursor=behind[limit - 1] if more else None)

    @delete(
        "/bases/{name:str}",
        opt={"scope": Scope.KNOWLEDGE_WRITE},
        status_code=HTTP_200_OK,
        summary="Erase sources",
    )
    async def remove(
        self,
        name: FromPath[str],
        supervisor: NamedDependency[Supervisor],
        source: Annotated[
            list[str] | None, QueryParameter(description="May be given several times; none: all.")
        ] = None,
    ) -> Removed:
        """Erase them for good: no older version keeps them."""
        return Removed(removed=await supervisor.agent.knowledge.remove(name, source or ()))


def _contents(uploads: Path, documents: Sequence[NewDocument]) -> Iterator[tuple[Path, bytes]]:
    for one in documents:
        parts = one.source.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise InvalidRequestError(
                f"{one.source!r} cannot name a document: parts between slashes, of 1 to 200 characters, none with a dot first",
                param="documents",
            )
        if (one.text is None) == (one.content is None):
            raise InvalidRequestError(f"give the text or the content of {one.source!r}", param="documents")
        content = one.text.encode() if one.text is not None else one.content or b""
        yield uploads.joinpath(*parts), content


def _in_workspace(workspace: Path, paths: Sequence[str]) -> list[Path]:
    root = workspace.resolve()
    found: list[Path] = []
    for path in paths:
        there = (root / path).resolve() if "\x00" not in path else root.parent
        if not there.is_relative_to(root) or not there.exists():
            raise InvalidRequestError(f"there is nothing at {path!r} in the workspace", param="paths")
        found.append(there)
    return found


def _write(contents: Sequence[tuple[Path, bytes]]) -> None:
    for path, content in contents:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise InvalidRequestError(
                f"{path.name!r} cannot be a document and a folder of documents at once", param="documents"
            ) from None
