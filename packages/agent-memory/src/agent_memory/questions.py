"""How much of a question is looked up. Pure."""

_ENDS = 2_000


def ends_of(question: str) -> str:
    """A question, or of one as long as a document its beginning and its end: what is asked stands before or behind what
    was pasted, and every word of it would be looked up.
    """
    return question if len(question) <= 2 * _ENDS else f"{question[:_ENDS]} {question[-_ENDS:]}"
