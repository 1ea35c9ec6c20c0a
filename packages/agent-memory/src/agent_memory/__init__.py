"""What an agent keeps: the window of a session, a long-term memory, and the durable journal of runs, on SQLite.

Each name is imported when it is first asked for: `import agent_memory` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_memory.embedders import CachedEmbedder, OnnxEmbedder, StaticEmbedder
    from agent_memory.errors import (
        EmbedderMismatchError,
        FilterValueError,
        ImportFormatError,
        JournalVersionError,
        KnowledgeVersionError,
        MemoryStoreError,
        MemoryUnavailableError,
        MemoryVersionError,
        ParseError,
        UnknownDomainError,
        UnknownFieldError,
    )
    from agent_memory.journal import SqliteJournal
    from agent_memory.journal_upkeep import JournalCheck
    from agent_memory.knowledge.domains import BUILT_IN, Chunking, Domain, Field, domains_from
    from agent_memory.knowledge.ingest import IngestReport, NotKept, Progress
    from agent_memory.knowledge.lance import LanceKnowledgeBase
    from agent_memory.knowledge.retrieval import Reranker, RetrievalWeights
    from agent_memory.knowledge.versions import Difference, Version
    from agent_memory.long_term import (
        Episode,
        ExtractionBudget,
        ExtractionReport,
        Fact,
        Filter,
        Forgetting,
        Forgotten,
        Hit,
        LongTermMemory,
        Outcome,
        RecallingMemory,
        Weights,
        Why,
        extract_facts,
    )
    from agent_memory.session_memory import SessionMemory
    from agent_memory.short_term import ShortTermWindow
    from agent_memory.skill_memory import LearnedLesson, Pattern, SkillMemory, Statistics, Step, ToolHit
    from agent_memory.summaries import ModelSummary
    from agent_memory.tenancy import TenantMemory, Tenants
    from agent_memory.tokens import counted_by, estimate_tokens

    __version__: str
else:
    _NAMES = {
        "embedders": ("CachedEmbedder", "OnnxEmbedder", "StaticEmbedder"),
        "errors": (
            "EmbedderMismatchError",
            "FilterValueError",
            "ImportFormatError",
            "JournalVersionError",
            "KnowledgeVersionError",
            "MemoryStoreError",
            "MemoryUnavailableError",
            "MemoryVersionError",
            "ParseError",
            "UnknownDomainError",
            "UnknownFieldError",
        ),
        "journal": ("SqliteJournal",),
        "journal_upkeep": ("JournalCheck",),
        "knowledge.domains": ("BUILT_IN", "Chunking", "Domain", "Field", "domains_from"),
        "knowledge.ingest": ("IngestReport", "NotKept", "Progress"),
        "knowledge.lance": ("LanceKnowledgeBase",),
        "knowledge.retrieval": ("Reranker", "RetrievalWeights"),
        "knowledge.versions": ("Difference", "Version"),
        "long_term": (
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
        ),
        "session_memory": ("SessionMemory",),
        "short_term": ("ShortTermWindow",),
        "skill_memory": ("LearnedLesson", "Pattern", "SkillMemory", "Statistics", "Step", "ToolHit"),
        "summaries": ("ModelSummary",),
        "tenancy": ("TenantMemory", "Tenants"),
        "tokens": ("counted_by", "estimate_tokens"),
    }
    _HOME = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = import_module("importlib.metadata").version("agent-memory")
        elif name in _HOME:
            value = getattr(import_module(f"agent_memory.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "BUILT_IN",
    "CachedEmbedder",
    "Chunking",
    "Difference",
    "Domain",
    "EmbedderMismatchError",
    "Episode",
    "ExtractionBudget",
    "ExtractionReport",
    "Fact",
    "Field",
    "Filter",
    "FilterValueError",
    "Forgetting",
    "Forgotten",
    "Hit",
    "ImportFormatError",
    "IngestReport",
    "JournalCheck",
    "JournalVersionError",
    "KnowledgeVersionError",
    "LanceKnowledgeBase",
    "LearnedLesson",
    "LongTermMemory",
    "MemoryStoreError",
    "MemoryUnavailableError",
    "MemoryVersionError",
    "ModelSummary",
    "NotKept",
    "OnnxEmbedder",
    "Outcome",
    "ParseError",
    "Pattern",
    "Progress",
    "RecallingMemory",
    "Reranker",
    "RetrievalWeights",
    "SessionMemory",
    "ShortTermWindow",
    "SkillMemory",
    "SqliteJournal",
    "StaticEmbedder",
    "Statistics",
    "Step",
    "TenantMemory",
    "Tenants",
    "ToolHit",
    "UnknownDomainError",
    "UnknownFieldError",
    "Version",
    "Weights",
    "Why",
    "__version__",
    "counted_by",
    "domains_from",
    "estimate_tokens",
    "extract_facts",
]
