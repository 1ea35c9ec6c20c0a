"""Shared by every test: one event loop backend, and conformance suites whose assertions explain themselves."""

import pytest

pytest.register_assert_rewrite("agent_core.testing.conformance")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes is run by its own command, `pytest -m slow` or `pytest -m engines`, or by its name."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if any(item.get_closest_marker(name) for name in ("slow", "engines"))]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the daemon does."""
    return "asyncio"
