"""`/v1/models`: what can be asked, by name."""

from typing import Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from agent_api.access.scopes import Scope
from agent_api.errors import ModelNotFoundError
from agent_api.openai.caller import EMBEDDER, Caller


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    """Not known of a model that others made."""
    owned_by: str


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]


@get("/v1/models", opt={"scope": Scope.MODELS_USE}, summary="List models", tags=("openai",))
async def models(
    caller: NamedDependency[Caller],
) -> Models:
    """The agent, the model that it asks, and the embedder."""
    return Models(data=_all(caller))


@get("/v1/models/{model:path}", opt={"scope": Scope.MODELS_USE}, summary="Look at a model", tags=("openai",))
async def model(
    model: FromPath[str],
    caller: NamedDependency[Caller],
) -> Model:
    """One model by its name, which may have slashes."""
    name = str(model).removeprefix("/")
    found = _all(caller)
    for one in found:
        if one.id == name:
            return one
    raise ModelNotFoundError(name, tuple(one.id for one in found))


def _all(caller: Caller) -> tuple[Model, ...]:
    agent, name = caller.chat_names
    owners = {agent: "agentd", name: name.partition(":")[0], EMBEDDER: "agentd"}
    return tuple(Model(id=one, owned_by=owner) for one, owner in owners.items())
