"""Skills of an HTTP API, one an operation, by its OpenAPI document. The document describes; the operator decides what of
it may be called, and holds the key.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import ArgumentRole, FieldLabel, Label
from agent_skills.described import Call, described_skill
from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.http import HttpRequest
from agent_skills.secrets import Secrets, SecretSource
from agent_skills.skill import AnySkill
from agent_skills.web import openapi
from agent_skills.web.guarded import GuardedWeb, WebLimits, WebReply
from agent_skills.web.hosts import Resolve
from agent_skills.web.openapi import Operation

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_ERROR_CHARS = 1_000
_REPEATABLE = frozenset({"get", "head", "put", "delete"})


class HttpApiAuth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How requests show who asks."""

    kind: Literal["bearer", "basic", "header", "query"]
    secret: str
    """The name of the secret; for `basic` it holds `user:password`."""
    field: str = ""
    """The header or the field of the query, for those two kinds."""

    def __post_init__(self) -> None:
        """Hold that it can be used.

        Raises:
            SkillError: the name of the field is missing.
        """
        if self.kind in {"header", "query"} and not self.field:
            raise SkillError(f"credentials in a {self.kind} need `field`, its name")


class HttpApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One API."""

    name: str
    """Before the names of the operations: `NAME_OPERATION`."""
    url: str = ""
    """Where it is; empty: where the document says."""
    operations: tuple[str, ...] = ()
    """The operations (their `operationId`) that may be called; empty: all that only read (GET and HEAD)."""
    auth: HttpApiAuth | None = None
    networks: tuple[str, ...] = ()
    """Networks that are not public and where the API is, such as `10.0.0.0/8`."""
    labels: tuple[Label, ...] = (Label.RETURNS_UNTRUSTED, Label.SENDS_OUT)
    """What a policy shall assume of every operation. DELETE destroys besides, whatever stands here."""
    roles: Mapping[str, Mapping[str, ArgumentRole]] = {}
    """By operation: what its arguments decide, such as which one is the destination."""
    fields: Mapping[str, Mapping[str, FieldLabel]] = {}
    """By operation: which fields of its replies the API itself vouches for, or are secret."""
    timeout_s: float = 30.0


class HttpApiPlugin:
    """Brings the operations of one API."""

    def __init__(
        self,
        settings: HttpApiSettings,
        document: JsonObject,
        secret: SecretSource,
        *,
        resolve: Resolve | None = None,
    ) -> None:
        """`document`: the OpenAPI document, decoded.

        Raises:
            SkillError: it says of no place where the API is, or names an operation that is not there.
        """
        self._settings = settings
        self._secret = secret
        self._base = settings.url or openapi.base_url(document)
        parts = urlsplit(self._base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SkillError(f"API {settings.name!r}: say where it is by `url`; its document does not")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._web = GuardedWeb(
            WebLimits(
                hosts=(parts.hostname,),
                networks=settings.networks,
                ports=(port,),
                timeout_s=settings.timeout_s,
            ),
            resolve=resolve,
        )
        self._operations = _chosen(settings, list(openapi.operations(document)))

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register one skill an operation."""
        for operation in self._operations:
            register(self._skill(operation))

    def _skill(self, operation: Operation) -> AnySkill:
        destroys = (Label.DESTROYS,) if operation.method == "delete" else ()
        return described_skill(
            name=_NO_NAME.sub("_", f"{self._settings.name}_{operation.name}")[:64].strip("_"),
            description=operation.description,
            schema=operation.schema,
            call=self._caller(operation),
            labels=tuple(dict.fromkeys((*self._settings.labels, *destroys))),
            roles=self._settings.roles.get(operation.name),
            fields=self._settings.fields.get(operation.name),
            idempotent=operation.method in _REPEATABLE,
            timeout_s=self._settings.timeout_s + 5.0,
        )

    def _caller(self, operation: Operation) -> Call:
        async def call(arguments: JsonObject, context: ToolContext) -> str:
            request = openapi.request(operation, self._base, arguments)
            headers = {**request.headers, "idempotency-key": context.idempotency_key}
            request = self._signed(
                msgspec.structs.replace(
                    request, headers=headers if operation.method == "post" else request.headers
                )
            )
            try:
                reply = await self._web.send(request)
            except SkillFailedError as error:  # its text names the address, which may hold the key
                text = self._masked(str(error))
                raise SkillFailedError(text, code=error.code, retryable=error.may_pass) from None
            return self._masked(_shown(reply))

        return call

    def _masked(self, text: str) -> str:
        name = self._settings.auth.secret if self._settings.auth else ""
        return Secrets({name: self._secret(name) or ""}).mask(text) if name else text

    def _signed(self, request: HttpRequest) -> HttpRequest:
        auth = self._settings.auth
        if auth is None:
            return request
        value = self._secret(auth.secret)
        if not value:
            raise SkillFailedError(f"there is no secret {auth.secret!r}", code="no_secret")
        headers: Mapping[str, str] = request.headers
        match auth.kind:
            case "bearer":
                headers = {**headers, "authorization": f"Bearer {value}"}
            case "basic":
                encoded = base64.b64encode(value.encode()).decode()
                headers = {**headers, "authorization": f"Basic {encoded}"}
            case "header":
                headers = {**headers, auth.field: value}
            case "query":
                joint = "&" if "?" in request.url else "?"
                url = f"{request.url}{joint}{urlencode({auth.field: value})}"
                return msgspec.structs.replace(request, url=url)
        return msgspec.structs.replace(request, headers=headers)


def _chosen(settings: HttpApiSettings, offered: Sequence[Operation]) -> list[Operation]:
    if not settings.operations:
        return [one for one in offered if one.method in {"get", "head"}]
    by_name = {one.name: one for one in offered}
    unknown = [name for name in settings.operations if name not in by_name]
    if unknown:
        raise SkillError(f"API {settings.name!r} has no operation {', '.join(unknown)}")
    return [by_name[name] for name in settings.operations]


def _shown(reply: WebReply) -> str:
    text = reply.body.decode(errors="replace")
    if reply.status >= 400:
        may_pass = reply.status == 429 or reply.status >= 500
        words = f"HTTP {reply.status}: {text[:_MAX_ERROR_CHARS]}"
        raise SkillFailedError(words, code="http_status", retryable=may_pass)
    return text or f"HTTP {reply.status}, without a body"
