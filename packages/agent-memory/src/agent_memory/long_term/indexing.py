"""What full text holds of a memory, made anew where it was made by other rules than those at hand. SQL only."""

import sqlite3

from agent_memory.long_term import entries, episodes, facts
from agent_memory.long_term.analysis import Analyzer

_ANALYZER = "analyzer"


def is_indexed(db: sqlite3.Connection, analyzer: Analyzer) -> bool:
    """Whether the terms that are kept are this analyzer's."""
    return entries.setting(db, _ANALYZER) == analyzer.name


def index_anew(db: sqlite3.Connection, analyzer: Analyzer) -> None:
    """Index everything with this analyzer."""
    if entries.setting(db, _ANALYZER) is not None or _holds_something(db):
        episodes.index_all(db, analyzer)
        facts.index_all(db, analyzer)
    entries.put_setting(db, _ANALYZER, analyzer.name)


def _holds_something(db: sqlite3.Connection) -> bool:
    asked = "SELECT EXISTS (SELECT 1 FROM episodes) OR EXISTS (SELECT 1 FROM facts)"
    return bool(db.execute(asked).fetchone()[0])
