"""Facts: subject, predicate, object, with two times: when it was true, and when this memory held it to be true.

A new fact touches only facts of the same subject and predicate. Nothing is changed but `retired_at`, once: what was
believed at any time can be asked for ever. The rules are pure (`plan`); the SQL follows them.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.episodes import TOKENIZE

TERMS = f"CREATE VIRTUAL TABLE fact_terms USING fts5 (words, {TOKENIZE})"
SCHEMA = (
    """CREATE TABLE facts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        subject TEXT NOT NULL,
        predicate TEXT NOT NULL,
        object TEXT NOT NULL,
        valid_from REAL NOT NULL,
        valid_to REAL NOT NULL,
        recorded_at REAL NOT NULL,
        retired_at REAL NOT NULL,
        confidence REAL NOT NULL,
        many INTEGER NOT NULL,
        sources TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX facts_by_subject ON facts (subject, predicate, retired_at)",
    TERMS,
)

_COLUMNS = (
    "id, subject, predicate, object, valid_from, valid_to, recorded_at, retired_at, confidence, many, sources"
)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing held to be true."""

    subject: str
    predicate: str
    object: str
    valid_from: float
    """Seconds since the epoch, as are all times; -inf: always."""
    valid_to: float = math.inf
    """True until just before; inf: still."""
    recorded_at: float = 0.0
    """When this memory began to hold it."""
    retired_at: float = math.inf
    """When it ceased to: it was superseded, corrected or retracted. inf: it holds it."""
    confidence: float = 1.0
    """0 to 1."""
    many: bool = False
    """True: others of the same subject and predicate may be true at once, such as what somebody likes."""
    sources: tuple[int, ...] = ()
    """Ids of the episodes that say so."""
    id: int = 0
    """0: not stored yet."""

    @property
    def sentence(self) -> str:
        """The fact in words."""
        return f"{self.subject} {self.predicate.replace('_', ' ')} {self.object}"


class Change(NamedTuple):
    """What a new fact makes of those that are there."""

    retire: tuple[int, ...]
    """Ids of facts that are not held any more."""
    insert: tuple[Fact, ...]


def plan(new: Fact, held: Iterable[Fact]) -> Change:
    """What to retire and what to insert so that `new` is held.

    Args:
        new: The fact.
        held: The facts with the same subject and predicate that are not retired.

    - The same object at an overlapping time: one fact, with both times, the sources of both and the higher confidence.
    - Another object, where only one can be true at a time: the later one ends the earlier; an earlier one that
      is told late ends where the later begins; and one that is wholly covered is retired. A fact of lower confidence
      than half of what it would replace is kept beside it, as `many`.
    - Times that do not overlap never touch each other.
    """
    retire: list[int] = []
    insert: list[Fact] = []
    for old in held:
        if not (old.valid_from < new.valid_to and new.valid_from < old.valid_to):
            continue
        if old.object == new.object:
            retire.append(old.id)
            new = _merged(old, new)
        elif not (new.many or old.many):
            if new.confidence < old.confidence / 2:
                new = replace(new, many=True)
            elif new.valid_from >= old.valid_from:
                retire.append(old.id)
                insert += _outside(old, new)
            else:
                new = replace(new, valid_to=old.valid_from)
    return Change(tuple(retire), (*insert, new))


def _merged(old: Fact, new: Fact) -> Fact:
    return replace(
        new,
        valid_from=min(old.valid_from, new.valid_from),
        valid_to=max(old.valid_to, new.valid_to),
        confidence=max(old.confidence, new.confidence),
        many=old.many and new.many,
        sources=tuple(dict.fromkeys((*old.sources, *new.sources))),
    )


def _outside(old: Fact, new: Fact) -> list[Fact]:
    """What stays true of `old` before and after `new`."""
    left: list[Fact] = []
    if old.valid_from < new.valid_from:
        left.append(replace(old, id=0, valid_to=new.valid_from, recorded_at=new.recorded_at))
    if new.valid_to < old.valid_to:
        left.append(replace(old, id=0, valid_from=new.valid_to, recorded_at=new.recorded_at))
    return left


def state(db: sqlite3.Connection, analyzer: Analyzer, new: Fact) -> Fact:
    """Store a fact by the rules; returns it as it is held."""
    held = select(db, subject=new.subject, predicate=new.predicate)
    change = plan(new, held)
    retire(db, change.retire, new.recorded_at)
    stored = [insert(db, analyzer, fact) for fact in change.insert]
    return stored[-1]


def insert(db: sqlite3.Connection, analyzer: Analyzer, fact: Fact) -> Fact:
    """Add a row as it stands; returns it with its id."""
    values = (
        *(fact.subject, fact.predicate, fact.object, fact.valid_from, fact.valid_to),
        *(fact.recorded_at, fact.retired_at, fact.confidence, int(fact.many)),
        msgspec.json.encode(fact.sources).decode(),
    )
    row_id = db.execute(
        "INSERT INTO facts (subject, predicate, object, valid_from, valid_to, recorded_at, retired_at, confidence,"
        " many, sources) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    ).lastrowid
    assert row_id is not None  # noqa: S101  # an INSERT has one
    words = " ".join(analyzer.terms(fact.sentence))
    db.execute("INSERT INTO fact_terms (rowid, words) VALUES (?, ?)", (row_id, words))
    return replace(fact, id=row_id)


def retire(db: sqlite3.Connection, ids: Sequence[int], at: float) -> int:
    """Hold these no longer; returns how many were held."""
    return db.executemany(
        "UPDATE facts SET retired_at = ? WHERE id = ? AND retired_at = ?",
        [(at, row_id, math.inf) for row_id in ids],
    ).rowcount


def select(
    db: sqlite3.Connection,
    *,
    subject: str | None = None,
    predicate: str | None = None,
    valid_at: float | None = None,
    known_at: float | None = None,
) -> list[Fact]:
    """Facts, oldest truth first: those held now, or those held at `known_at`; those true at `valid_at`, if given."""
    conditions = {"subject = ?": subject, "predicate = ?": predicate}
    given = [(condition, value) for condition, value in conditions.items() if value is not None]
    where = [condition for condition, _ in given]
    values: list[object] = [value for _, value in given]
    if known_at is None:
        where.append("retired_at = ?")
        values.append(math.inf)
    else:
        where.append("recorded_at <= ? AND retired_at > ?")
        values += [known_at, known_at]
    if valid_at is not None:
        where.append("valid_from <= ? AND valid_to > ?")
        values += [valid_at, valid_at]
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM facts WHERE {' AND '.join(where)} ORDER BY valid_from, id",  # noqa: S608
        values,
    )
    return [fact(row) for row in rows]


def matches(
    db: sqlite3.Connection, terms: Sequence[str], valid_at: float, limit: int
) -> list[tuple[float, Fact]]:
    """Score and fact of those held, true at `valid_at`, that share terms with the question; best first."""
    if not terms:
        return []
    columns = ", ".join(f"f.{column}" for column in _COLUMNS.split(", "))
    rows = db.execute(
        f"SELECT bm25(fact_terms) AS score, {columns} FROM fact_terms JOIN facts AS f ON f.id = fact_terms.rowid"  # noqa: S608
        " WHERE fact_terms MATCH ? AND f.retired_at = ? AND f.valid_from <= ? AND f.valid_to > ?"
        " ORDER BY score, f.recorded_at DESC LIMIT ?",
        (" OR ".join(f'"{term}"' for term in terms), math.inf, valid_at, valid_at, limit),
    )
    return [(-row[0], fact(row[1:])) for row in rows]


def everything(db: sqlite3.Connection, after_id: int, limit: int) -> list[Fact]:
    """The next facts behind an id, the retired ones too."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM facts WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
        (after_id, limit),
    )
    return [fact(row) for row in rows]


def index_all(db: sqlite3.Connection, analyzer: Analyzer) -> None:
    """Index all facts anew."""
    db.execute("DROP TABLE fact_terms")
    db.execute(TERMS)
    for one in everything(db, 0, -1):
        words = " ".join(analyzer.terms(one.sentence))
        db.execute("INSERT INTO fact_terms (rowid, words) VALUES (?, ?)", (one.id, words))


def delete(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove facts and their terms."""
    for table, column in (("fact_terms", "rowid"), ("facts", "id")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(row_id,) for row_id in ids])  # noqa: S608


def fact(row: Sequence[object]) -> Fact:
    """The fact in a row of `_COLUMNS`."""
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values["many"] = bool(values["many"])
    values["sources"] = msgspec.json.decode(str(values["sources"]), type=tuple[int, ...])
    return msgspec.convert(values, Fact)
