import pytest

pytest.register_assert_rewrite("agent_core.testing.conformance")
