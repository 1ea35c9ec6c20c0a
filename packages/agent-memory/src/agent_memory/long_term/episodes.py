"""Episodes: what was said and what happened, as it was, in order; appended and never changed. The words and their SQL.

Each episode is indexed with the two before it in its session, for an answer seldom repeats the question's words. What
follows is looked at when it is ranked: nothing is written again because something came after it.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.ranking import REACH_AFTER, REACH_BEFORE, Corpus, Passage, Query
from agent_memory.long_term.when import Span

TOKENIZE = "tokenize = \"unicode61 remove_diacritics 0 categories 'L* N* M* Co'\""
"""Terms, and not text: stemming and folding are the analyzer's, and the index only takes words apart at spaces."""
TERMS = f"CREATE VIRTUAL TABLE episode_terms USING fts5 (said, before, marks, {TOKENIZE}, columnsize = 1)"
SCHEMA = (
    """CREATE TABLE episodes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, so a source never comes to mean another episode
        session_id TEXT NOT NULL,
        ordinal INTEGER NOT NULL, -- within the session, from 0
        key TEXT UNIQUE, -- told again of the same, nothing is added
        speaker TEXT NOT NULL,
        text TEXT NOT NULL,
        said_at REAL NOT NULL,
        recorded_at REAL NOT NULL,
        importance REAL NOT NULL,
        run_id TEXT NOT NULL,
        traits INTEGER NOT NULL,
        UNIQUE (session_id, ordinal)
    ) STRICT""",
    "CREATE INDEX episodes_by_time ON episodes (said_at)",
    "CREATE INDEX episodes_by_run ON episodes (run_id)",
    TERMS,
    "CREATE VIRTUAL TABLE episode_vocabulary USING fts5vocab (episode_terms, col)",
    """CREATE TABLE episode_vectors (
        id INTEGER PRIMARY KEY REFERENCES episodes (id) ON DELETE CASCADE,
        vector BLOB NOT NULL -- float32, little-endian
    ) STRICT""",
)

TERMS_BEFORE = 2
"""How many episodes before one are in its index entry."""
CANDIDATES = 80
"""So many matches are ranked in full, with their neighbours."""
_READ = 10_000
"""So many entries of the index are read for a question while they give matches enough: SQLite scores them all, 20 ms for a
word that is in each of 20,000 episodes and tells of none. Which matches are best is said by all words, in the ranking."""
_AT_ONCE = 500
"""SQLite takes so many values in one statement, and more."""

_COLUMNS = "id, session_id, ordinal, speaker, text, said_at, recorded_at, importance, run_id"
_INSERT = """INSERT INTO episodes
    (session_id, ordinal, key, speaker, text, said_at, recorded_at, importance, run_id, traits)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_LATEST = """SELECT e.ordinal, t.said FROM episodes AS e JOIN episode_terms AS t ON t.rowid = e.id
    WHERE e.session_id = ? ORDER BY e.ordinal DESC LIMIT ?"""
_PASSAGES = """SELECT DISTINCT e.id, e.session_id, e.ordinal, e.speaker, e.said_at, e.importance, e.traits, t.said, t.marks
    FROM episodes AS h JOIN episodes AS e ON e.session_id = h.session_id
        AND e.ordinal BETWEEN h.ordinal - ? AND h.ordinal + ?
    JOIN episode_terms AS t ON t.rowid = e.id
    WHERE h.id IN ({ids})"""

_QUESTION = re.compile(r"[?\uff1f][\"')\]]*\s*$")
_PERSONAL = re.compile(r"\b(i|my|me|mine|we|our|us)\b", re.IGNORECASE)
_TIMED = re.compile(
    r"\b(yesterday|today|tonight|tomorrow|last|next|ago|week|weekend|month|year|recently|since|soon|\d{4}"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october"
    r"|november|december)s?\b",
    re.IGNORECASE,
)


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said, or happened."""

    id: int
    session_id: str
    ordinal: int
    """Its place in the session, from 0."""
    speaker: str
    text: str
    said_at: float
    """Seconds since the epoch, as are all times."""
    recorded_at: float
    importance: float = 0.5
    """0 to 1; lifts its rank."""
    run_id: str = ""
    """The run that it came from; empty: it was told directly."""


class NewEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """An episode to be added."""

    text: str
    session_id: str
    speaker: str
    said_at: float
    recorded_at: float
    importance: float = 0.5
    run_id: str = ""
    key: str | None = None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which episodes may be found; None lets all pass."""

    session_id: str | None = None
    speaker: str | None = None
    since: float | None = None
    """Said at this time or later."""
    until: float | None = None
    """Said before this time."""

    def where(self, table: str) -> tuple[str, list[object]]:
        """The condition as SQL that begins with AND, or nothing, and its parameters."""
        conditions = {
            "session_id =": self.session_id,
            "speaker =": self.speaker,
            "said_at >=": self.since,
            "said_at <": self.until,
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        return "".join(f" AND {table}.{condition} ?" for condition in given), list(given.values())

    def within(self, span: Span) -> "Filter":
        """The same filter, and said in the span."""
        since, until = self.since, self.until
        return replace(
            self,
            since=span.start if since is None else max(since, span.start),
            until=span.end if until is None else min(until, span.end),
        )


def insert(db: sqlite3.Connection, analyzer: Analyzer, new: NewEpisode) -> int:
    """Add one episode; returns its id. One with a key that is there already is left as it is."""
    if new.key is not None:
        row = db.execute("SELECT id FROM episodes WHERE key = ?", (new.key,)).fetchone()
        if row is not None:
            return int(row[0])
    latest = db.execute(_LATEST, (new.session_id, TERMS_BEFORE)).fetchall()
    ordinal = latest[0][0] + 1 if latest else 0
    values = (
        *(new.session_id, ordinal, new.key, new.speaker, new.text, new.said_at, new.recorded_at),
        *(new.importance, new.run_id, traits_of(new.text)),
    )
    row_id = db.execute(_INSERT, values).lastrowid
    assert row_id is not None  # noqa: S101  # an INSERT has one
    _index(db, analyzer, row_id, (new.text, new.speaker, new.said_at), [terms for _, terms in latest])
    return row_id


def _index(
    db: sqlite3.Connection,
    analyzer: Analyzer,
    row_id: int,
    episode: tuple[str, str, float],
    before: Sequence[str],
) -> str:
    """Index one episode (text, speaker, time) with the terms of those before it; returns its own."""
    text, speaker, said_at = episode
    said = " ".join(analyzer.terms(text))
    marks = " ".join(analyzer.terms(f"{speaker} {_day(said_at)}"))
    db.execute(
        "INSERT INTO episode_terms (rowid, said, before, marks) VALUES (?, ?, ?, ?)",
        (row_id, said, " ".join(before), marks),
    )
    return said


def index_all(db: sqlite3.Connection, analyzer: Analyzer) -> None:
    """Index all episodes anew."""
    db.execute("DROP TABLE episode_terms")
    db.execute(TERMS)
    before: list[str] = []
    session: str | None = None
    rows = db.execute(
        "SELECT id, session_id, text, speaker, said_at FROM episodes ORDER BY session_id, ordinal"
    )
    for row_id, session_id, *told in rows.fetchall():
        before = [] if session_id != session else before
        session = session_id
        said = _index(db, analyzer, row_id, (told[0], told[1], told[2]), before)
        before = [said, *before][:TERMS_BEFORE]


def traits_of(text: str) -> int:
    """What an episode's wording says of it, as bits: 1 a question, 2 about the speaker, 4 about a time."""
    return bool(_QUESTION.search(text)) | bool(_PERSONAL.search(text)) << 1 | bool(_TIMED.search(text)) << 2


def _day(at: float) -> str:
    """The date in words, as people ask for it."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y").lstrip("0")


def get(
    db: sqlite3.Connection, ids: Sequence[int], only: Filter | None = None, count: int | None = None
) -> dict[int, Episode]:
    """The episodes of these ids that are there and pass; the first `count` of them, in the order of `ids`."""
    where, parameters = (only or Filter()).where("e")
    kept: dict[int, Episode] = {}
    size = _AT_ONCE if count is None or only is not None else count
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM episodes AS e WHERE id IN ({_marks(some)}){where}",  # noqa: S608
            [*some, *parameters],
        )
        found = {row[0]: row for row in rows}
        kept |= {row_id: episode(found[row_id]) for row_id in some if row_id in found}
        if count is not None and len(kept) >= count:
            break
    return kept


def episode(row: Sequence[object]) -> Episode:
    """The episode in a row of `_COLUMNS`."""
    return msgspec.convert(dict(zip(Episode.__struct_fields__, row, strict=True)), Episode)


def page(db: sqlite3.Connection, only: Filter, after_id: int, limit: int) -> list[Episode]:
    """The next episodes behind an id, in the order in which they were added."""
    where, parameters = only.where("e")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM episodes AS e WHERE id > ?{where} ORDER BY id LIMIT ?",  # noqa: S608
        [after_id, *parameters, limit],
    )
    return [episode(row) for row in rows]


def corpus(db: sqlite3.Connection, terms: Iterable[str]) -> Corpus:
    """How large the memory is, and in how many episodes each term is."""
    (count,) = db.execute("SELECT count(*) FROM episodes").fetchone()
    wanted = list(terms)
    rows = db.execute(
        "SELECT term, sum(doc), sum(CASE col WHEN 'said' THEN doc ELSE 0 END) FROM episode_vocabulary"  # noqa: S608
        f" WHERE term IN ({_marks(wanted)}) AND col IN ('said', 'marks') GROUP BY term",
        wanted,
    )
    return Corpus(size=count, documents={term: min(documents, count) for term, documents, _ in rows})


def matches(db: sqlite3.Connection, query: Query, only: Filter, known: Corpus) -> list[int]:
    """The ids of the best matches by full text alone, best first; `known`: of the question's terms."""
    often = {term: known.documents.get(term, 0) for term in query.terms}
    rarest = _rarest(often)
    # BM25 gives nothing for a word that is in more than half of all.
    telling = [term for term in query.terms if often[term] * 2 <= known.size]
    ids = _matching(db, rarest, only)
    if len(ids) < CANDIDATES and len(telling) > len(rarest):
        ids = _matching(db, telling, only)
    if not ids and len(query.terms) > len(rarest):
        ids = _matching(db, query.terms, only)
    return ids


def _rarest(often: Mapping[str, int]) -> list[str]:
    """The rarest of the terms, as many as `_READ` allows, and one at least."""
    kept: list[str] = []
    read = 0
    for term in sorted(often, key=often.__getitem__):
        read += often[term]
        if kept and read > _READ:
            break
        kept.append(term)
    return kept


def _matching(db: sqlite3.Connection, terms: Sequence[str], only: Filter) -> list[int]:
    where, parameters = only.where("e")
    words = " OR ".join(f'"{term}"' for term in terms)
    if not words:
        return []
    join = "JOIN episodes AS e ON e.id = episode_terms.rowid" if where else ""
    rows = db.execute(
        f"SELECT episode_terms.rowid FROM episode_terms {join} WHERE episode_terms MATCH ?{where}"  # noqa: S608
        " ORDER BY bm25(episode_terms, 1.0, 0.5, 0.5) LIMIT ?",
        [words, *parameters, CANDIDATES],
    )
    return [row_id for (row_id,) in rows]


def newest(db: sqlite3.Connection, only: Filter) -> list[int]:
    """The ids of the newest episodes that pass the filter."""
    where, parameters = only.where("e")
    rows = db.execute(
        f"SELECT id FROM episodes AS e WHERE 1{where} ORDER BY said_at DESC LIMIT ?",  # noqa: S608
        [*parameters, CANDIDATES],
    )
    return [row_id for (row_id,) in rows]


def passages(db: sqlite3.Connection, ids: Sequence[int]) -> list[Passage]:
    """The episodes of these ids and their neighbours, as they are ranked."""
    rows = db.execute(_PASSAGES.format(ids=_marks(ids)), [REACH_BEFORE, REACH_AFTER, *ids])
    return [Passage._make((*row[:7], row[7].split(), row[8].split())) for row in rows]


def missing_vectors(db: sqlite3.Connection, limit: int) -> list[tuple[int, str]]:
    """Id and text (with its speaker) of episodes that have no vector yet."""
    rows = db.execute(
        "SELECT e.id, e.speaker, e.text FROM episodes AS e LEFT JOIN episode_vectors AS v ON v.id = e.id"
        " WHERE v.id IS NULL ORDER BY e.id LIMIT ?",
        (limit,),
    )
    return [(row_id, f"{speaker}: {text}" if speaker else text) for row_id, speaker, text in rows]


def put_vectors(db: sqlite3.Connection, vectors: Mapping[int, bytes]) -> None:
    """Keep the vectors of episodes that are still there."""
    db.executemany(
        "INSERT OR REPLACE INTO episode_vectors (id, vector) SELECT id, ? FROM episodes WHERE id = ?",
        [(vector, row_id) for row_id, vector in vectors.items()],
    )


def vectors(db: sqlite3.Connection, after_id: int) -> list[tuple[int, bytes]]:
    """Id and vector of the episodes behind an id."""
    return db.execute(
        "SELECT id, vector FROM episode_vectors WHERE id > ? ORDER BY id", (after_id,)
    ).fetchall()


def delete(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove episodes, their terms and vectors; also their terms from the entries of those that came after them."""
    followers: set[tuple[int, str, int]] = set()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        followers |= set(
            db.execute(
                "SELECT f.id, f.session_id, f.ordinal FROM episodes AS e"  # noqa: S608
                " JOIN episodes AS f ON f.session_id = e.session_id AND f.ordinal > e.ordinal"
                f" AND f.ordinal <= e.ordinal + {TERMS_BEFORE} WHERE e.id IN ({_marks(some)})",
                some,
            )
        )
    for table, column in (("episode_terms", "rowid"), ("episode_vectors", "id"), ("episodes", "id")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(row_id,) for row_id in ids])  # noqa: S608
    gone = set(ids)
    for row_id, session_id, ordinal in (one for one in followers if one[0] not in gone):
        rows = db.execute(
            "SELECT t.said FROM episodes AS e JOIN episode_terms AS t ON t.rowid = e.id WHERE e.session_id = ?"
            " AND e.ordinal < ? AND e.ordinal >= ? ORDER BY e.ordinal DESC",
            (session_id, ordinal, ordinal - TERMS_BEFORE),
        )
        before = " ".join(terms for (terms,) in rows)
        db.execute("UPDATE episode_terms SET before = ? WHERE rowid = ?", (before, row_id))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
