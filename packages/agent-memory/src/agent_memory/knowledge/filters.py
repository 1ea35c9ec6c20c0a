"""From filters to the predicate of a table, with nothing of a value read as anything but a value. Pure."""

from collections.abc import Mapping, Sequence

from agent_core.knowledge import Between, Filters, MetadataValue
from agent_memory.errors import FilterValueError, UnknownFieldError
from agent_memory.knowledge.domains import Domain, FieldKind

_OWN: Mapping[str, FieldKind] = {
    "source": "text",
    "title": "text",
    "heading": "text",
    "kind": "text",
    "page": "number",
}


def column(field: str) -> str:
    """The column that holds a field: a domain's own fields cannot collide with ours."""
    return field if field in _OWN else f"m_{field}"


def kinds(domain: Domain) -> dict[str, FieldKind]:
    """Every field of a domain that can be filtered by."""
    return {**_OWN, **{field.name: field.kind for field in domain.fields}}


def predicate(domain: Domain, filters: Filters | None) -> str:
    """The condition as LanceDB's SQL; empty where there is none.

    Raises:
        UnknownFieldError: the domain has no such field.
        FilterValueError: a value is of the wrong kind.
    """
    known = kinds(domain)
    parts: list[str] = []
    for name, wanted in (filters or {}).items():
        if name not in known:
            raise UnknownFieldError(domain.name, name, known)
        parts.append(_condition(name, known[name], wanted))
    return " AND ".join(parts)


def _condition(name: str, kind: FieldKind, wanted: MetadataValue | Sequence[MetadataValue] | Between) -> str:
    where = f"`{column(name)}`"
    if isinstance(wanted, Between):
        ends = (">=", wanted.at_least), ("<=", wanted.at_most)
        limits = [f"{where} {sign} {literal(name, kind, end)}" for sign, end in ends if end is not None]
        return f"({' AND '.join(limits)})" if limits else "true"
    if isinstance(wanted, str | bool | int | float):
        return f"{where} = {literal(name, kind, wanted)}"
    values = [literal(name, kind, one) for one in wanted]
    return f"{where} IN ({', '.join(values)})" if values else "false"


def literal(field: str, kind: FieldKind, value: object) -> str:
    """A value as SQL writes it.

    Raises:
        FilterValueError: it is of another kind.
    """
    match kind, value:
        case "flag", bool():
            return "true" if value else "false"
        case "number", bool():
            pass
        case "number", int() | float() if value == value and abs(value) != float("inf"):  # noqa: PLR0124  # not a number
            return repr(value)
        case (("text" | "date"), str()):
            return quoted(value)
        case _:
            pass
    raise FilterValueError(field, kind, value)


def quoted(text: str) -> str:
    """Text as SQL writes it: a quote is doubled, and there is no other sign with a meaning."""
    return "'" + text.replace("'", "''") + "'"
