"""The promises of the `Snapshots` port. Subclass `SnapshotsConformance` and open your store.

    class TestMySnapshots(SnapshotsConformance):
        def snapshots(self):
            return my_store()  # an async context manager

Needs pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager

from agent_core.ports import Snapshots

BODY = bytes(range(256)) * 40
"""Any bytes, and not few."""


class SnapshotsConformance:
    """One suite a port: subclass it, give it your adapter, and pytest runs the port's promises against it."""

    @abstractmethod
    def snapshots(self) -> AbstractAsyncContextManager[Snapshots]:
        """An empty store; closed when the block ends."""

    async def test_a_run_without_a_snapshot_has_none(self) -> None:
        """No error: it is folded from its journal."""
        async with self.snapshots() as store:
            assert await store.load_snapshot("run_unknown") is None

    async def test_a_snapshot_comes_back_as_it_was(self) -> None:
        """Byte for byte."""
        async with self.snapshots() as store:
            await store.save_snapshot("run_1", 100, BODY)
            assert await store.load_snapshot("run_1") == (100, BODY)

    async def test_a_later_snapshot_takes_the_place_of_an_earlier_one(self) -> None:
        """One a run."""
        async with self.snapshots() as store:
            await store.save_snapshot("run_1", 100, b"earlier")
            await store.save_snapshot("run_1", 200, b"later")
            assert await store.load_snapshot("run_1") == (200, b"later")

    async def test_runs_do_not_see_each_other_s_snapshots(self) -> None:
        """Each has its own."""
        async with self.snapshots() as store:
            await store.save_snapshot("run_1", 1, b"one")
            await store.save_snapshot("run_2", 1, b"two")
            assert await store.load_snapshot("run_1") == (1, b"one")
            assert await store.load_snapshot("run_2") == (1, b"two")
