"""`/api/v1/keys`: the keys of the own tenant; with the scope `tenants:admin`, of every tenant."""

import time
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from agent_api.access.gate import Principal
from agent_api.access.keys import ApiKey, KeyLimits
from agent_api.access.scopes import USER, Scope
from agent_api.daemon import Daemon
from agent_api.errors import ScopeMissingError


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/keys`."""

    name: str = ""
    """What it is for, to know it again."""
    tenant: str = ""
    """Empty: the own one; another needs the scope `tenants:admin`."""
    scopes: tuple[str, ...] | None = None
    """None: everything but administration, as far as the asking key may."""
    valid_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Seconds until it expires; None: never."""
    limits: KeyLimits = KeyLimits()


class RotateKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/keys/{id}/rotate`."""

    grace_s: Annotated[float, msgspec.Meta(ge=0, le=604_800)] = 0.0
    """How long the old key is still valid."""


class ShownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with the text that opens the door: shown this once."""

    key: str
    about: ApiKey


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """Keys, without the texts that open doors."""

    items: tuple[ApiKey, ...]


class KeysController(Controller):
    """API keys."""

    path = "/api/v1/keys"
    tags = ("keys",)

    @post(
        opt={"scope": Scope.KEYS_ADMIN, "shown_once": True},
        status_code=HTTP_201_CREATED,
        summary="Make a key",
    )
    async def create(
        self, data: JSONBody[NewKey], principal: NamedDependency[Principal], daemon: NamedDependency[Daemon]
    ) -> ShownKey:
        """A new key, with no scope that the asking key does not have itself."""
        tenant = data.tenant or principal.tenant
        if tenant != principal.tenant:
            _need(principal, Scope.TENANTS_ADMIN)
        own = principal.key.scopes
        scopes = tuple(scope for scope in USER if scope in own) if data.scopes is None else data.scopes
        for scope in scopes:
            _need(principal, scope)
        now = time.time()
        key, text = daemon.keys.create(
            now=now,
            tenant=tenant,
            name=data.name,
            scopes=scopes,
            limits=data.limits,
            expires_at=None if data.valid_s is None else now + data.valid_s,
            key_id=_new_key_id(principal),
        )
        return ShownKey(key=text, about=key)

    @get(opt={"scope": Scope.KEYS_ADMIN}, summary="List keys")
    async def all(
        self,
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
        every_tenant: Annotated[bool, QueryParameter(description="Needs `tenants:admin`.")] = False,
    ) -> KeyList:
        """Every key, revoked ones too, the newest last."""
        if every_tenant:
            _need(principal, Scope.TENANTS_ADMIN)
        return KeyList(items=tuple(daemon.keys.all(tenant=None if every_tenant else principal.tenant)))

    @delete("/{key_id:str}", opt={"scope": Scope.KEYS_ADMIN}, status_code=HTTP_200_OK, summary="Revoke a key")
    async def revoke(
        self,
        key_id: FromPath[str],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> ApiKey:
        """End a key: it opens nothing from now on."""
        return daemon.keys.revoke(key_id, now=time.time(), tenant=_reach(principal))

    @post(
        "/{key_id:str}/rotate",
        opt={"scope": Scope.KEYS_ADMIN, "shown_once": True},
        status_code=HTTP_201_CREATED,
        summary="Rotate a key",
    )
    async def rotate(
        self,
        key_id: FromPath[str],
        data: JSONBody[RotateKey],
        principal: NamedDependency[Principal],
        daemon: NamedDependency[Daemon],
    ) -> ShownKey:
        """Another key in the place of one, with no scope that the asking key does not have itself."""
        for scope in daemon.keys.get(key_id, tenant=_reach(principal)).scopes:
            _need(principal, scope)
        key, text = daemon.keys.rotate(
            key_id,
            now=time.time(),
            tenant=_reach(principal),
            grace_s=data.grace_s,
            new_id=_new_key_id(principal),
        )
        return ShownKey(key=text, about=key)


def _reach(principal: Principal) -> str | None:
    """The tenant whose keys may be touched; None: every one's."""
    return None if Scope.TENANTS_ADMIN in principal.key.scopes else principal.tenant


def _new_key_id(principal: Principal) -> str:
    """The id that a key is to have, whose request may be sent again; empty: any. It has 48 bits of chance, as all have."""
    return principal.attempt.fixed_id("key")[-12:]


def _need(principal: Principal, scope: str) -> None:
    if scope not in principal.key.scopes:
        raise ScopeMissingError(scope)
