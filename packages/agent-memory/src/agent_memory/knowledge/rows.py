"""The rows of a knowledge table: a unit of text, what is searched with it, where it stands. Knows no storage."""

import hashlib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent_core.embeddings import Embeddings
from agent_core.knowledge import Citation, MetadataValue, Passage
from agent_memory.knowledge.domains import Domain, FieldKind
from agent_memory.knowledge.filters import column

pa: Any = importlib.import_module("pyarrow")
"""It has no types: what is made here is Arrow, and goes to the index as it is."""
ArrowTable: TypeAlias = Any
ArrowRows: TypeAlias = Any
"""A table, or a reader of batches, which need not be in memory together."""
ArrowSchema: TypeAlias = Any

_TYPES: Mapping[FieldKind, Any] = {
    "text": pa.string(),
    "number": pa.float64(),
    "date": pa.string(),
    "flag": pa.bool_(),
}
SHOWN = ("text", "card")
"""The columns that a passage is made of: each one costs a read for every row, so all but the text is in one."""
_WHOLE = {"lance-encoding:structural-encoding": "fullzip"}
"""A value is read alone, not with the thousands beside it."""
FORMAT = "1"
"""Raised when rows of an older form could not be searched with new ones."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage before it has a vector."""

    source: str
    ordinal: int
    """Its place in the source, from 0."""
    digest: str
    """Of the source's bytes and of how it was cut: equal means that nothing changed."""
    text: str
    window: str
    """The unit with its headings and what stands around it, as full text reads it."""
    lead: str
    """Title, heading and first words: what it says it is about."""
    kind: str = ""
    title: str = ""
    heading: str = ""
    page: int | None = None
    start: int = 0
    end: int = 0
    metadata: Mapping[str, MetadataValue] = {}

    @property
    def key(self) -> int:
        """The same for the same unit of the same content, for ever: 63 bits of a hash."""
        told = f"{self.source}\0{self.digest}\0{self.ordinal}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "little") >> 1


class Card(msgspec.Struct, frozen=True, array_like=True):
    """What is told of a passage beside its text."""

    key: int
    source: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    metadata: dict[str, MetadataValue]


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """A row as it is read."""

    text: str
    card: Card


_cards = msgspec.json.Decoder(Card)


def shown(rows: Iterable[Mapping[str, Any]]) -> list[Shown]:
    """Rows with the columns `SHOWN`."""
    return [Shown(row["text"], _cards.decode(row["card"])) for row in rows]


def schema(domain: Domain, *, dimensions: int, embedder: str) -> ArrowSchema:
    """The columns of a domain's table; what made the vectors is recorded with them."""
    return pa.schema(
        [
            pa.field("key", pa.int64(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("digest", pa.string(), nullable=False),
            pa.field("kind", pa.string()),
            pa.field("title", pa.string()),
            pa.field("heading", pa.string()),
            pa.field("page", pa.int32()),
            pa.field("text", pa.string(), metadata=_WHOLE),
            pa.field("window", pa.string()),
            pa.field("lead", pa.string()),
            pa.field("card", pa.string(), metadata=_WHOLE),
            *(pa.field(column(field.name), _TYPES[field.kind]) for field in domain.fields),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
        ],
        metadata={"embedder": embedder, "dimensions": str(dimensions), "format": FORMAT},
    )


def batch(units: Sequence[Unit], vectors: NDArray[np.float32], layout: ArrowSchema) -> ArrowTable:
    """The units as rows of a table; `vectors` is float32 [units, dimensions]."""
    columns: dict[str, Any] = {
        name: [getattr(unit, name) for unit in units] for name in ("key", "ordinal", "page", "start", "end")
    }
    for name in ("source", "digest", "kind", "title", "heading", "text", "window", "lead"):
        columns[name] = [_storable(getattr(unit, name)) for unit in units]
    columns["card"] = [_storable(msgspec.json.encode(_card(unit)).decode()) for unit in units]
    for field in layout:
        if field.name.startswith("m_"):
            columns[field.name] = [_fitting(unit.metadata.get(field.name[2:]), field.type) for unit in units]
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table([pa.array(columns[field.name], field.type) for field in layout], schema=layout)


def _card(unit: Unit) -> Card:
    return Card(
        key=unit.key,
        source=_storable(unit.source),
        title=_storable(unit.title),
        heading=_storable(unit.heading),
        page=unit.page,
        start=unit.start,
        end=unit.end,
        metadata={
            name: _storable(value) if isinstance(value, str) else value
            for name, value in unit.metadata.items()
        },
    )


def _storable(text: str) -> str:
    """Half a surrogate pair is no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _fitting(value: MetadataValue | None, kind: Any) -> MetadataValue | None:
    """A value that is of another kind than its column is kept with the passage, and cannot be filtered by."""
    if kind == pa.string():
        return _storable(value) if isinstance(value, str) else None
    if kind == pa.bool_():
        return value if isinstance(value, bool) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def passages(rows: Mapping[int, Shown], scores: Mapping[int, float], domain: str) -> list[Passage]:
    """Rows by their places, with a score each, as passages, best first."""
    found = [
        Passage(
            text=row.text,
            score=scores[place],
            citation=Citation(
                source=row.card.source,
                title=row.card.title,
                page=row.card.page,
                heading=row.card.heading,
                start=row.card.start,
                end=row.card.end,
            ),
            domain=domain,
            metadata=row.card.metadata,
        )
        for place, row in rows.items()
    ]
    return sorted(found, key=lambda passage: -passage.score)


def units(rows: Iterable[Mapping[str, Any]]) -> list[Unit]:
    """Whole rows as the units that they were made of."""
    told = {"source", "title", "heading", "page", "start", "end", "metadata"}
    names = [name for name in Unit.__struct_fields__ if name not in told]
    found: list[Unit] = []
    for row in rows:
        card = _cards.decode(row["card"])
        found.append(
            Unit(**{name: row[name] for name in names}, **{name: getattr(card, name) for name in told})
        )
    return found


def as_array(embeddings: Embeddings) -> NDArray[np.float32]:
    """Vectors as an array, float32 [texts, dimensions]."""
    return np.frombuffer(embeddings.vectors, "<f4").reshape(-1, embeddings.dimensions)
