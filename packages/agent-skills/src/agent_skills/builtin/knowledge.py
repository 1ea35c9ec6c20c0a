"""The skill `knowledge_search`: passages of a knowledge base, each with where it stands. Through the port alone."""

from agent_core.knowledge import Passage
from agent_core.ports import KnowledgeBase
from agent_core.tools import Label
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill

MAX_PASSAGES = 20
_EXAMPLES = (
    ("what do our documents say about notice periods?", {"query": "notice periods"}),
    ("search the knowledge base for backup plans", {"query": "backup plans"}),
    ("look in the handbook for travel costs", {"query": "travel costs"}),
    ("find the passage on warranty in our files", {"query": "warranty"}),
)


class KnowledgePlugin:
    """Brings `knowledge_search` for one knowledge base, and so for one tenant."""

    def __init__(self, knowledge: KnowledgeBase, *, trusted: bool = False) -> None:
        """`trusted`: everything in it was written or checked by people who may tell the model what to do."""
        self._knowledge = knowledge
        self._labels = [Label.READS_PRIVATE] if trusted else [Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED]

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it."""
        decorate = skill(
            name="knowledge_search", examples=_EXAMPLES, labels=self._labels, idempotent=True, timeout_s=20.0
        )
        register(decorate(self._search))

    async def _search(self, query: str, count: int = 5, domain: str = "") -> str:
        """Search the knowledge base: documents that were put in by the people you work for.

        Args:
            query: What to look for, in words that the documents may use.
            count: How many passages, at most 20.
            domain: One domain to look in, such as legal. Left out: wherever it fits.
        """
        passages = await self._knowledge.search(
            query, k=min(max(count, 1), MAX_PASSAGES), domains=(domain,) if domain else ()
        )
        shown = [_shown(number, one) for number, one in enumerate(passages, 1)]
        return "\n\n".join(shown) or "The knowledge base has nothing on this."


def _shown(number: int, passage: Passage) -> str:
    place = passage.citation
    parts = [place.title or place.source, place.heading, f"page {place.page}" if place.page else ""]
    where = ", ".join(part for part in parts if part)
    source = f" ({place.source})" if place.title and place.title != place.source else ""
    return f"[{number}] {where}{source}\n{passage.text}"
