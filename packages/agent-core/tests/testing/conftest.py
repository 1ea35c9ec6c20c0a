"""Whether an adapter keeps one promise of its suite."""

import pytest


async def kept(suite, promise, attributes):
    """Run one test of a suite against an adapter; whatever a user's run would show as a failure is a broken promise."""
    adapted = type("Adapted", (suite,), attributes)()
    try:
        result = getattr(adapted, f"test_{promise}")()
        if result is not None:
            await result
    except Exception:  # noqa: BLE001  # an assertion, a group of them, a timeout, whatever the adapter raises
        return False
    return True


@pytest.fixture
def keeps():
    """`await keeps(suite, promise, attributes)`: the attributes are those of the subclass that a user writes."""
    return kept
