"""What the suites need of a test framework, so that they need none."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Generic, TypeVar

E = TypeVar("E", bound=BaseException)


class Raised(Generic[E]):
    """Holds the error once the block of `raises` has ended."""

    error: E


@contextmanager
def raises(kind: type[E]) -> Generator[Raised[E]]:
    """The block must raise `kind`.

    Raises:
        AssertionError: it did not.
    """
    raised: Raised[E] = Raised()
    try:
        yield raised
    except kind as error:
        raised.error = error
    else:
        raise AssertionError(f"{kind.__name__} was not raised")
