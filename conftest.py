"""Shared by every test: one event loop backend, and conformance suites whose assertions explain themselves."""

import pytest

pytest.register_assert_rewrite("agent_core.testing.conformance")
OWN_COMMAND = ("slow", "engines", "object_storage")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes, or a server, is run by its own command, such as `pytest -m slow`, or by its name."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in OWN_COMMAND)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the daemon does."""
    return "asyncio"
