"""Long-term memory: episodes, facts, preferences and outcomes on SQLite, and finding them again. See `store`."""

from agent_memory.long_term.episodes import Episode, Filter
from agent_memory.long_term.erasure import Forgetting, Forgotten
from agent_memory.long_term.extraction import ExtractionBudget, ExtractionReport, extract_facts
from agent_memory.long_term.facts import Fact
from agent_memory.long_term.outcomes import Outcome
from agent_memory.long_term.ranking import Weights
from agent_memory.long_term.recall import RecallingMemory
from agent_memory.long_term.recollection import Hit, Why
from agent_memory.long_term.store import LongTermMemory

__all__ = [
    "Episode",
    "ExtractionBudget",
    "ExtractionReport",
    "Fact",
    "Filter",
    "Forgetting",
    "Forgotten",
    "Hit",
    "LongTermMemory",
    "Outcome",
    "RecallingMemory",
    "Weights",
    "Why",
    "extract_facts",
]
