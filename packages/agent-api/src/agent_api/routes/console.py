"""`/console/session`: log a browser in with a key, ask who is logged in, log out."""

import time
from typing import Any

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from agent_api.access.gate import Principal
from agent_api.access.scopes import ANY_KEY
from agent_api.daemon import Daemon
from agent_api.errors import KeyRefusedError, OriginRefusedError


class WhoIsThere(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, and what the page needs to go on."""

    key_id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    csrf_token: str
    """To be sent as `X-CSRF-Token` with whatever changes something; empty: a key came along, and needs none."""
    expires_at: float | None
    """When the session is over, in seconds since the epoch, used or not."""


class ConsoleController(Controller):
    """Sessions of browsers."""

    path = "/console/session"
    tags = ("console",)
    opt = {"scope": ANY_KEY, "shown_once": True}  # noqa: RUF012  # the framework's attribute

    @post(status_code=HTTP_201_CREATED, summary="Log in")
    async def begin(
        self,
        request: Request[Any, Any, State],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> Response[WhoIsThere]:
        """With a key as bearer token; the cookie that comes back stands for it, for half an hour of silence at most."""
        if principal.console is not None:
            raise KeyRefusedError
        origin = request.headers.get("origin")
        if origin is not None and not daemon.console.is_ours(origin, dict(request.scope)):
            raise OriginRefusedError("a page of another origin cannot log in")
        session = daemon.console.begin(principal.key, time.time())
        shown = _shown(msgspec.structs.replace(principal, console=session))
        cookie = daemon.console.cookie(session, dict(request.scope))
        return Response(shown, status_code=HTTP_201_CREATED, headers={"Set-Cookie": cookie, **_UNKEPT})

    @get(status_code=HTTP_200_OK, summary="Who is logged in")
    async def show(self, principal: NamedDependency[Principal]) -> Response[WhoIsThere]:
        """And the token for what changes something, which a page asks for when it is loaded."""
        return Response(_shown(principal), headers=_UNKEPT)

    @delete(status_code=HTTP_204_NO_CONTENT, summary="Log out")
    async def end(
        self,
        request: Request[Any, Any, State],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> Response[None]:
        """The cookie opens nothing from now on."""
        if principal.console is not None:
            daemon.console.end(principal.console.token)
        headers = {"Set-Cookie": daemon.console.cookie(None, dict(request.scope)), **_UNKEPT}
        return Response(None, status_code=HTTP_204_NO_CONTENT, headers=headers)


_UNKEPT = {"Cache-Control": "no-store"}


def _shown(principal: Principal) -> WhoIsThere:
    key, session = principal.key, principal.console
    return WhoIsThere(
        key_id=key.key_id,
        name=key.name,
        tenant=key.tenant,
        scopes=key.scopes,
        csrf_token=session.csrf if session else "",
        expires_at=session.expires_at if session else key.expires_at,
    )
