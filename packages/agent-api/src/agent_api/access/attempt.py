"""One attempt at a request. Where it carries an idempotency key, what it begins has ids that are the same at every attempt."""

from collections import Counter

from agent_core.system import SystemIds

_ids = SystemIds()


class Attempt:
    """Gives ids to what a request begins.

    The stem of the ids is written down with the idempotency key before anything is begun. An attempt after a crash has the same
    one, so it finds what the first has begun, or begins it under the id that it was to have.
    """

    def __init__(self, stem: str = "", *, is_again: bool = False) -> None:
        """`stem`: empty, there is no idempotency key. `is_again`: an attempt before this one did not come to a reply."""
        self.stem = stem
        self.is_again = is_again
        self.is_used = False
        """Whether an id was given: then something may have been begun."""
        self._given: Counter[str] = Counter()

    def fixed_id(self, prefix: str) -> str:
        """The id of what this request begins, such as `run_19a9f0c3b2d4`; the next one with the same prefix is another. Empty:
        there is no idempotency key, so any id will do.
        """
        if not self.stem:
            return ""
        self.is_used = True
        number = self._given[prefix]
        self._given[prefix] += 1
        return f"{prefix}_{self.stem}{f'_{number}' if number else ''}"

    def stem_id(self, prefix: str) -> str:
        """The first id that `fixed_id` gives, or gave an attempt before this one."""
        return f"{prefix}_{self.stem}"

    def new_id(self, prefix: str) -> str:
        """The same, or a new id where there is no idempotency key."""
        return self.fixed_id(prefix) or _ids.new(prefix)


ONLY = Attempt()
"""The attempt of every request without an idempotency key."""
