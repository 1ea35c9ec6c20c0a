"""Forgetting for good: which rows go, in one transaction; the file is then written anew. SQL only."""

import sqlite3
from collections.abc import Sequence

import msgspec

from agent_memory.long_term import entries, episodes, facts, outcomes


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """What to forget: whatever any of these names."""

    session_id: str | None = None
    """All that was said in a session, and the outcomes of its runs."""
    speaker: str | None = None
    """All that somebody said."""
    subject: str | None = None
    """All facts of a subject."""
    containing: str | None = None
    """All in which these words stand, in any case: episodes, facts, values, outcomes."""
    episode_ids: tuple[int, ...] = ()
    fact_ids: tuple[int, ...] = ()
    run_ids: tuple[str, ...] = ()
    """The episodes and outcomes of these runs."""
    keys: tuple[str, ...] = ()
    """Values under these keys."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """How much was forgotten."""

    episodes: int
    facts: int
    """Those named, and those that only forgotten episodes spoke for."""
    outcomes: int
    values: int


def forget(db: sqlite3.Connection, what: Forgetting) -> Forgotten:
    """Remove the rows. Facts lose forgotten sources; a fact that had no others goes too."""
    said = _episodes(db, what)
    held, kept = _facts(db, what, set(said))
    runs = _outcomes(db, what)
    keys = _keys(db, what)
    episodes.delete(db, said)
    facts.delete(db, held)
    for row_id, sources in kept:
        text = msgspec.json.encode(sources).decode()
        db.execute("UPDATE facts SET sources = ? WHERE id = ?", (text, row_id))
    outcomes.delete(db, runs)
    values = entries.delete(db, keys)
    return Forgotten(episodes=len(said), facts=len(held), outcomes=len(runs), values=values)


def _episodes(db: sqlite3.Connection, what: Forgetting) -> list[int]:
    ids = set(what.episode_ids)
    for column, value in (("session_id", what.session_id), ("speaker", what.speaker)):
        if value is not None:
            ids |= _column(db, f"SELECT id FROM episodes WHERE {column} = ?", value)  # noqa: S608
    for run_id in what.run_ids:
        ids |= _column(db, "SELECT id FROM episodes WHERE run_id = ?", run_id)
    if what.containing is not None:
        needle = what.containing.casefold()
        rows = db.execute("SELECT id, text, speaker, session_id FROM episodes")
        ids |= {row_id for row_id, *texts in rows if any(needle in text.casefold() for text in texts)}
    there = _column(db, "SELECT id FROM episodes")
    return sorted(ids & there)


def _facts(
    db: sqlite3.Connection, what: Forgetting, said: set[int]
) -> tuple[list[int], list[tuple[int, tuple[int, ...]]]]:
    """The facts to remove, and the sources that others keep."""
    gone: list[int] = []
    kept: list[tuple[int, tuple[int, ...]]] = []
    needle = None if what.containing is None else what.containing.casefold()
    for fact in _every_fact(db):
        left = tuple(source for source in fact.sources if source not in said)
        named = fact.id in what.fact_ids or fact.subject == what.subject
        words = f"{fact.subject}\n{fact.predicate}\n{fact.object}".casefold()
        if named or (fact.sources and not left) or (needle is not None and needle in words):
            gone.append(fact.id)
        elif left != fact.sources:
            kept.append((fact.id, left))
    return gone, kept


def _every_fact(db: sqlite3.Connection) -> list[facts.Fact]:
    return facts.everything(db, 0, -1)


def _outcomes(db: sqlite3.Connection, what: Forgetting) -> list[str]:
    gone: list[str] = []
    needle = None if what.containing is None else what.containing.casefold()
    for outcome in outcomes.select(db, None, -1):
        named = outcome.run_id in what.run_ids or outcome.session_id == what.session_id
        words = "\n".join(
            (outcome.goal, outcome.answer, *(f"{one.reason}\n{one.fixed_by}" for one in outcome.lessons))
        )
        if named or (needle is not None and needle in words.casefold()):
            gone.append(outcome.run_id)
    return gone


def _keys(db: sqlite3.Connection, what: Forgetting) -> Sequence[str]:
    keys = set(what.keys)
    if what.containing is not None:
        needle = what.containing.casefold()
        for key, value in entries.select(db, "").items():
            if needle in f"{key}\n{msgspec.json.encode(value).decode()}".casefold():
                keys.add(key)
    return sorted(keys)


def _column(db: sqlite3.Connection, statement: str, *values: object) -> set[int]:
    return {row_id for (row_id,) in db.execute(statement, values)}
