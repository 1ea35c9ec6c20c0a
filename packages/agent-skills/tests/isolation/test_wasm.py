"""WebAssembly components: calls, and the limits that end them."""

import asyncio
import time

import anyio
import pytest

from agent_skills.errors import IsolationError, SkillFailedError, SkillTimeoutError
from agent_skills.isolation.wasm import WasmComponent, WasmFolder, WasmLimits

pytest.importorskip("wasmtime")

COMPONENT = rb"""
(component
  (core module $m
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (global $seen (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $r i32)
      (local.set $r (global.get $top))
      (global.set $top (i32.add (global.get $top) (local.get 3)))
      (local.get $r))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "count") (result i32)
      (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
      (global.get $seen))
    (func (export "spin") (loop (br 0)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "peek") (result i32) (i32.load (i32.const 100000000)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0))
      (i32.store (i32.const 4) (local.get 1))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
  (func (export "count") (result s32) (canon lift (core func $i "count")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "peek") (result s32) (canon lift (core func $i "peek")))
  (func (export "echo") (param "text" string) (result string)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
"""


@pytest.fixture(scope="module")
def load():
    def load(**limits):
        return WasmComponent.load(COMPONENT, WasmLimits(**limits))

    return load


async def test_exports_are_called_with_values_of_their_types(load):
    component = load()
    assert await component.call("add", 2, 40) == 42
    assert await component.call("echo", "h\u00e9") == "h\u00e9"


async def test_nothing_stays_from_one_call_to_the_next(load):
    component = load()
    assert [await component.call("count") for _ in range(3)] == [1, 1, 1]


async def test_time_is_bounded_by_epochs_and_by_fuel(load):
    with pytest.raises(SkillTimeoutError):
        await load(timeout_s=0.1, fuel=1 << 62).call("spin")
    with pytest.raises(SkillFailedError, match="fuel"):
        await load(fuel=1_000_000).call("spin")


async def test_calls_side_by_side_have_their_own_deadlines(load):
    component = load(timeout_s=1, fuel=1 << 62)
    ends = await asyncio.gather(
        component.call("spin"), component.call("add", 1, 1), component.call("spin"), return_exceptions=True
    )
    assert [type(end).__name__ for end in ends] == ["SkillTimeoutError", "int", "SkillTimeoutError"]


async def test_a_call_after_many_has_all_of_its_time(load):
    component = load(timeout_s=1, fuel=1 << 62)
    for _ in range(100):
        await component.call("add", 1, 1)
    began = time.monotonic()
    with pytest.raises(SkillTimeoutError):
        await component.call("spin")
    assert time.monotonic() - began > 0.9


async def test_components_that_spin_leave_the_threads_of_others_alone(load):
    component = load(timeout_s=2, fuel=1 << 62)
    spinning = [asyncio.ensure_future(component.call("spin")) for _ in range(40)]
    await asyncio.sleep(0)
    with anyio.fail_after(60):
        await asyncio.get_running_loop().run_in_executor(None, int)
        assert not all(one.done() for one in spinning)
        for one in spinning:
            one.cancel()
        while component._running:
            await anyio.sleep(0.01)


async def test_memory_is_bounded(load):
    assert await load(memory_bytes=1 << 20).call("grow", 1000) == -1
    with pytest.raises(SkillFailedError, match="out of bounds"):
        await load().call("peek")


@pytest.mark.parametrize(("export", "arguments"), [("nothing", ()), ("add", (1,)), ("add", ("a", 1))])
async def test_wrong_calls_are_refused(load, export, arguments):
    with pytest.raises(SkillFailedError, match=export):
        await load().call(export, *arguments)


async def test_a_call_that_is_cancelled_ends_by_itself(load):
    component = load(timeout_s=1, fuel=1 << 62)
    task = asyncio.ensure_future(component.call("spin"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with anyio.fail_after(60):
        while component._running:
            await anyio.sleep(0.01)
    assert await component.call("add", 1, 1) == 2


async def test_a_file_with_the_component_and_folders_are_given(tmp_path):
    (tmp_path / "part.wat").write_bytes(COMPONENT)
    folder = WasmFolder(host=str(tmp_path), guest="/data")
    component = WasmComponent.load(tmp_path / "part.wat", WasmLimits(folders=(folder,)))
    assert await component.call("add", 1, 1) == 2


@pytest.mark.parametrize("code", [b"\0asm\1\0\0\0", b"(module)", b"\xff", b"nonsense"])
def test_what_is_no_component_is_refused(code):
    with pytest.raises(IsolationError, match="no WebAssembly component"):
        WasmComponent.load(code)
