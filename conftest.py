"""Shared by every test: one event loop backend, and conformance suites whose assertions explain themselves."""

import pytest

pytest.register_assert_rewrite("agent_core.testing.conformance")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the daemon does."""
    return "asyncio"
