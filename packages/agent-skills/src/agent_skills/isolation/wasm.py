"""Level 3 for compiled code: a WebAssembly component under wasmtime. It has what it is given: fuel, memory, folders.

Each call has an instance of its own, so nothing stays from one to the next. Time is bounded twice: by fuel, which counts
instructions, and by epochs, which tick while anything runs.
"""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent_skills.errors import IsolationError, SkillFailedError, SkillTimeoutError
from agent_skills.isolation.sandbox import MEBIBYTE

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component, Linker

TICK_S = 0.01
"""Seconds between two epochs: how far a deadline may be overshot."""


MAX_CALLS = 8
"""Calls of all components that may run at once, each in a thread; further ones wait."""


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads of their own: those of the loop also look up hosts and start sandboxes, and a component may hold one for long."""
    return ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="wasm")


class WasmFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of the host that a component sees."""

    host: str
    guest: str
    writable: bool = False


class WasmLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call may use."""

    timeout_s: float = 10.0
    fuel: int = 10_000_000_000
    """Instructions, roughly."""
    memory_bytes: int = 64 * MEBIBYTE
    folders: tuple[WasmFolder, ...] = ()


class WasmComponent:
    """One component, compiled. Its calls run in threads, and belong to one event loop."""

    def __init__(
        self, engine: "Engine", component: "Component", linker: "Linker", limits: WasmLimits
    ) -> None:
        self._engine = engine
        self._component = component
        self._linker = linker
        self._limits = limits
        self._running = 0
        self._is_ticking = False

    @classmethod
    def load(cls, source: Path | bytes, limits: WasmLimits | None = None) -> "WasmComponent":
        """Compile a component: its bytes, or a file with them, or with its text form.

        Raises:
            IsolationError: wasmtime is not installed, or this is no component.
        """
        try:
            from wasmtime import Config, Engine, WasmtimeError  # noqa: PLC0415 - an extra; 0.1 to 0.4 s to import
            from wasmtime.component import Component, Linker  # noqa: PLC0415 - see above
        except ImportError:
            raise IsolationError(
                "wasmtime is not installed: install agent-skills[wasm], or wasmtime"
            ) from None
        config = Config()
        config.wasm_component_model = True
        config.consume_fuel = True
        config.epoch_interruption = True
        engine = Engine(config)
        code = source.read_bytes() if isinstance(source, Path) else source
        try:
            component = Component(engine, code if code.startswith(b"\0asm") else code.decode())
        except (WasmtimeError, UnicodeDecodeError) as error:
            raise IsolationError(f"this is no WebAssembly component: {error}") from error
        linker = Linker(engine)
        linker.add_wasip2()
        return cls(engine, component, linker, limits or WasmLimits())

    async def call(self, export: str, *arguments: object) -> object:
        """Call one exported function with values of its types; returns its result.

        Raises:
            SkillFailedError: no such export, wrong arguments, a trap, or more fuel or memory than it may use.
            SkillTimeoutError: it took longer than `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        self._running += 1
        if not self._is_ticking:
            self._is_ticking = True
            loop.call_later(TICK_S, self._tick, loop)
        job = _threads().submit(self._call, export, arguments)
        # Cancelled or not, a thread that has begun ends with its epochs: they tick until it does.
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        return await asyncio.wrap_future(job)

    def _ended(self) -> None:
        self._running -= 1

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._engine.increment_epoch()
        self._is_ticking = self._running > 0
        if self._is_ticking:
            loop.call_later(TICK_S, self._tick, loop)

    def _call(self, export: str, arguments: tuple[object, ...]) -> object:
        from wasmtime import Store, WasiConfig, WasmtimeError  # noqa: PLC0415 - see `load`

        limits = self._limits
        store = Store(self._engine)
        store.set_fuel(limits.fuel)
        store.set_limits(memory_size=limits.memory_bytes)
        store.set_epoch_deadline(max(1, round(limits.timeout_s / TICK_S)))
        wasi = WasiConfig()
        for folder in limits.folders:
            wasi.preopen_dir(folder.host, folder.guest, folder.writable)
        store.set_wasi(wasi)
        try:
            function = self._linker.instantiate(store, self._component).get_func(store, export)
            if function is None:
                raise SkillFailedError(f"the component exports no function {export!r}")
            return function(store, *arguments)
        except WasmtimeError as error:
            if "wasm trap: interrupt" in str(error):
                raise SkillTimeoutError(export, limits.timeout_s) from None
            raise SkillFailedError(f"{export} failed: {_reason(error)}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise SkillFailedError(f"{export} was given wrong arguments: {error}") from error


def _reason(error: Exception) -> str:
    """The last line of a trap: what came before is a trace of the component's own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
