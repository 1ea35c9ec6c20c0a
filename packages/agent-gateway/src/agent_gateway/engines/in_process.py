"""What the engines in this process share: a model is loaded once, at its first use or when its owner says so, in a
worker thread; it is closed, and loaded again by the next request. Knows no engine.
"""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio.to_thread

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.messages import File, Image
from agent_gateway.errors import ProviderRefusedError
from agent_gateway.failures import Target
from agent_gateway.seeing import as_seen
from agent_gateway.weights import OnProgress

E = TypeVar("E")


class InProcessModel(ABC, Generic[E]):
    """A model whose engine, an `E`, lives in this process."""

    def __init__(self, engine: str, *, profile: ModelProfile, on_progress: OnProgress | None) -> None:
        """`engine` is what people call it; `on_progress` is told what takes time."""
        self._profile = profile
        self._on_progress = on_progress
        self._loading = threading.Lock()
        self._loaded: E | None = None
        self._target = Target(
            where=f"{profile.name} ({engine})",
            model=profile.name.partition(":")[2] or profile.name,
            context_tokens=profile.context_tokens,
        )

    @property
    def profile(self) -> ModelProfile:
        """What is known of the model without asking it."""
        return self._profile

    async def load(self) -> None:
        """Load the weights now rather than at the first request; does nothing where they are loaded.

        Raises:
            WeightsError: they are missing, broken, larger than the memory that is free, or of a kind that the engine
                does not know.
        """
        await self._ready()

    @abstractmethod
    def close(self) -> None:
        """Stop what is being written and free the memory. Blocking; see `aclose`. The next request loads again."""

    async def aclose(self) -> None:
        """As `close`, without blocking the event loop."""
        await anyio.to_thread.run_sync(self.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @abstractmethod
    def _start(self) -> E:
        """Load; in a worker thread, one at a time."""

    async def _ready(self) -> E:
        return self._loaded if self._loaded is not None else await anyio.to_thread.run_sync(self._load)

    def _load(self) -> E:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._start()
            return self._loaded

    def _unload(self) -> E | None:
        """What was loaded, which nobody else will be given from now on."""
        with self._loading:
            loaded, self._loaded = self._loaded, None
        return loaded

    def _as_text(self, request: ModelRequest, otherwise: str = "") -> ModelRequest:
        """`request` without what tools attached to their results.

        Raises `ProviderRefusedError` for other pictures and files, and for text that is none; `otherwise` says what to do.
        """
        for message in request.messages:
            if any(isinstance(part, Image | File) for part in message.parts):
                reason = f"in this process it reads text, no pictures or files{otherwise}"
                raise ProviderRefusedError(self._target.where, reason)
            try:
                message.text.encode()
            except UnicodeEncodeError as error:  # half a surrogate pair, such as a file name that is no text
                raise ProviderRefusedError(self._target.where, str(error)) from error
        return as_seen(request, self._profile)

    def _say(self, message: str) -> None:
        if self._on_progress is not None:
            self._on_progress(message)
