"""What a server of the Chat Completions format tells of its models: of what kind it is, and how large they are."""

import msgspec

from agent_core.chat import ModelProfile
from agent_gateway.compat import COMPATIBLE, COMPATS, OWNERS, Compat
from agent_gateway.profiles import sized_profile


class _Meta(msgspec.Struct):
    n_params: int = 0
    n_ctx: int = 0


class _Model(msgspec.Struct):
    id: str = ""
    owned_by: str = ""
    max_model_len: int | None = None
    """vLLM's."""
    meta: _Meta | None = None
    """llama.cpp's."""


class ModelList(msgspec.Struct):
    """The reply to `GET /models`."""

    data: list[_Model] = []

    @classmethod
    def read(cls, body: bytes) -> "ModelList":
        """The list in `body`; an empty one where there is none."""
        try:
            return msgspec.json.decode(body, type=cls)
        except msgspec.DecodeError:
            return cls()

    @property
    def compat(self) -> Compat:
        """The kind of server, by who owns its models."""
        kinds = (OWNERS[model.owned_by] for model in self.data if model.owned_by in OWNERS)
        return COMPATS[next(kinds, COMPATIBLE.name)]

    def profile(self, name: str, known: ModelProfile) -> ModelProfile:
        """`known`, with what the server tells of the model; a server of one model answers to any name."""
        fitting = [model for model in self.data if model.id == name] or (
            self.data if len(self.data) == 1 else []
        )
        for model in fitting:
            meta = model.meta or _Meta()
            known = sized_profile(
                known, parameters=meta.n_params, context_tokens=model.max_model_len or meta.n_ctx
            )
        return known
