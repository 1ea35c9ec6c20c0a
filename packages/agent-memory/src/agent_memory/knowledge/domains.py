"""Domains as data: what a kind of knowledge is called, how it is cut, what it can be filtered by. Reads nothing.

Eight are known from the start; a `Domain` of your own is one more value, and `domains_from` reads them from settings.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from agent_core.errors import ConfigurationError

FieldKind: TypeAlias = Literal["text", "number", "date", "flag"]
"""`date` is text as ISO 8601 writes it, so that it sorts."""
Strategy: TypeAlias = Literal["sections", "clauses", "symbols", "tables"]
"""What a document is cut at: headings and paragraphs; articles and clauses; functions and classes; rows of tables.

Each falls back to sections where a document has none of its own structure.
"""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = frozenset({"source", "title", "page", "heading", "kind"})
"""Every passage has these, whatever the domain, and they can be filtered by."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metadata that can be filtered by."""

    name: str
    kind: FieldKind = "text"
    description: str = ""


class Chunking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a document becomes passages."""

    strategy: Strategy = "sections"
    words: int = 180
    """A passage has about so many words at most; what belongs together stays together below that."""
    neighbours: int = 30
    """So many words of the passages before and after are searched with it, and not shown."""


class Domain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of knowledge: a table a tenant."""

    name: str
    description: str
    """What questions it answers; routing compares a query with it."""
    chunking: Chunking = Chunking()
    fields: tuple[Field, ...] = ()
    language: str = "English"
    """Whose stems full text uses; one of LanceDB's (https://docs.lancedb.com, full-text search, read 2026-11)."""
    embedder: str = ""
    """The name of the embedder that this domain is for; empty: whichever the knowledge base has."""

    def __post_init__(self) -> None:
        """Names become names of tables and columns.

        Raises:
            ConfigurationError: a name is not lower case letters, digits and underscores, or is taken.
        """
        names = [field.name for field in self.fields]
        for name in (self.name, *names):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(
                    f"{name!r} cannot name a domain or a field: use lower case letters, digits and underscores"
                )
        taken = RESERVED.intersection(names) or {name for name in names if names.count(name) > 1}
        if taken:
            raise ConfigurationError(f"domain {self.name!r}: the field {min(taken)!r} is there already")


def _domain(name: str, description: str, chunking: Chunking, **fields: FieldKind) -> Domain:
    return Domain(
        name=name,
        description=description,
        chunking=chunking,
        fields=tuple(Field(name=field, kind=kind) for field, kind in fields.items()),
    )


BUILT_IN: Mapping[str, Domain] = {
    one.name: one
    for one in (
        _domain(
            "legal",
            "Law, contracts, statutes, regulations, court decisions, terms, privacy, licences, liability, clauses.",
            Chunking(strategy="clauses", words=220),
            jurisdiction="text",
            document_type="text",
            date="date",
            party="text",
        ),
        _domain(
            "code",
            "Source code, functions, classes, APIs, programming in Python, JavaScript, Go, Rust, Java and C, bugs.",
            Chunking(strategy="symbols", words=200, neighbours=0),
            language="text",
            repository="text",
            test="flag",
        ),
        _domain(
            "medical",
            "Health, diseases, symptoms, diagnosis, treatment, drugs, doses, patients, clinical guidelines, surgery.",
            Chunking(words=180),
            specialty="text",
            document_type="text",
            date="date",
        ),
        _domain(
            "finance",
            "Money, accounts, annual reports, revenue, profit, balance sheets, shares, taxes, invoices, budgets.",
            Chunking(strategy="tables", words=180),
            company="text",
            period="text",
            currency="text",
            date="date",
        ),
        _domain(
            "science",
            "Research papers, experiments, physics, chemistry, biology, mathematics, engineering, methods, results.",
            Chunking(words=200),
            author="text",
            year="number",
            venue="text",
        ),
        _domain(
            "security",
            "Vulnerabilities, attacks, advisories, threats, incidents, hardening, encryption, access, compliance.",
            Chunking(words=160),
            severity="text",
            product="text",
            cve="text",
            date="date",
        ),
        _domain(
            "operations",
            "Runbooks, deployment, servers, monitoring, outages, configuration, procedures, on-call, networks, logs.",
            Chunking(words=160),
            component="text",
            environment="text",
            owner="text",
            date="date",
        ),
        _domain(
            "general",
            "Everything else: notes, letters, articles, manuals, people, places, events, questions of every day.",
            Chunking(words=180),
            topic="text",
            author="text",
            date="date",
        ),
    )
}


def domains_from(settings: Iterable[Mapping[str, object]]) -> dict[str, Domain]:
    """The built-in domains and those of `settings`, each as the fields of `Domain`; a name that is known is replaced.

    Raises:
        ConfigurationError: a setting is no domain; the message says which and why.
    """
    found = dict(BUILT_IN)
    for number, one in enumerate(settings, start=1):
        try:
            domain = msgspec.convert(one, Domain)
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"domain {number} ({one.get('name', 'without a name')}): {error}"
            ) from None
        found[domain.name] = domain
    return found
