"""The promises of the `Ids` port. Subclass `IdsConformance` and say how to make yours.

    class TestMyIds(IdsConformance):
        def ids(self):
            return MyIds()

Needs pytest with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod

import anyio

from agent_core.ports import Ids

MANY = 10_000
TICK_S = 0.002
"""Ids that are so far apart sort by their time."""


class IdsConformance:
    """Each test makes ids of its own, through `ids`."""

    @abstractmethod
    def ids(self) -> Ids:
        """What makes ids."""

    def test_an_id_begins_with_its_prefix(self) -> None:
        """Then comes an underscore, then something."""
        ids = self.ids()
        for prefix in ("run", "session", "writer", "x"):
            name, underscore, rest = ids.new(prefix).partition("_")
            assert (name, underscore) == (prefix, "_")
            assert rest

    def test_an_id_is_a_plain_word(self) -> None:
        """It stands in addresses, file names and headers as it is: ASCII letters, digits and underscores, not too many."""
        for _ in range(100):
            made = self.ids().new("run")
            assert made.isascii()
            assert made.replace("_", "").isalnum()
            assert len(made) <= 64

    def test_no_id_comes_twice(self) -> None:
        """Neither from one maker nor with different prefixes."""
        ids = self.ids()
        made = [ids.new("run") for _ in range(MANY)]
        assert len(set(made)) == MANY

    async def test_ids_sort_by_time(self) -> None:
        """Among those of one prefix, a few milliseconds apart."""
        ids = self.ids()
        made: list[str] = []
        for _ in range(20):
            made.append(ids.new("run"))  # time must pass in between
            await anyio.sleep(TICK_S)
        assert made == sorted(made)
