r"""Constraints in the words of llguidance, which holds replies in mistral.rs. Pure.

It takes grammars in its Lark, where our requests carry GBNF.

GBNF: llama.cpp's `grammars/README.md`; Lark: llguidance's `docs/syntax.md` (both November 2026). What differs: the
start rule is `start`, rules are written with `:`, names have no hyphens, and a set of characters is a regex.

    root ::= "-"? [0-9]{1,3}      becomes      start: "-"? /[0-9]/{1,3}
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from agent_core.json_types import JsonObject

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |(?P<line>\n)
    |(?P<define>::=)
    |(?P<literal>"(?:\\.|[^"\\\n])*")
    |(?P<set>\[(?:\\.|[^\]\\\n])*\])
    |(?P<name>[A-Za-z][A-Za-z0-9_-]*)
    |(?P<times>\{\s*\d+\s*(?:,\s*\d*\s*)?\})
    |(?P<mark>[|()?*+])
    |(?P<any>\.)
    |(?P<wrong>.)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r"}


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str


def lark_grammar(gbnf: str) -> str:
    """The same language in Lark.

    Raises:
        ValueError: it is no GBNF, has no rule `root`, or names a rule that is not there.
    """
    tokens = list(_tokens(gbnf))
    starts = [index for index, token in enumerate(tokens) if token.kind == "define"]
    if not starts or any(index == 0 or tokens[index - 1].kind != "name" for index in starts):
        raise ValueError("a grammar is rules of the form `name ::= ...`")
    rules: dict[str, Sequence[_Token]] = {}
    for index, begin in enumerate(starts):
        end = starts[index + 1] - 1 if index + 1 < len(starts) else len(tokens)
        rules[tokens[begin - 1].text] = tokens[begin + 1 : end]
    if "root" not in rules:
        raise ValueError("a grammar needs a rule `root`")
    missing = {t.text for body in rules.values() for t in body if t.kind == "name"} - set(rules)
    if missing:
        raise ValueError(f"a grammar names rules that it does not have: {', '.join(sorted(missing))}")
    return "\n".join(f"{_name(name)}: {_body(body)}" for name, body in rules.items())


def lark_choice(values: Sequence[str]) -> str:
    """The grammar of exactly these texts."""
    return "start: " + " | ".join(_literal(value) for value in values)


def compact(schema: JsonObject) -> JsonObject:
    """The schema in llguidance's words, without blanks between the tokens of the JSON: weak models never stop writing
    them where they may.
    """
    return {"x-guidance": {"whitespace_flexible": False}, **schema}


def _tokens(gbnf: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(gbnf):
        kind = match.lastgroup or "wrong"
        if kind == "wrong":
            raise ValueError(f"{match.group()!r} at {match.start()} is no part of a grammar")
        if kind not in {"space", "line"}:
            yield _Token(kind, match.group())


def _name(name: str) -> str:
    """Lark's rules are lower case, without hyphens; `r_` keeps them apart from Lark's own words."""
    return "start" if name == "root" else "r_" + name.lower().replace("-", "_")


def _body(tokens: Sequence[_Token]) -> str:
    return (
        " ".join(_written(token) for token in tokens).replace(" ?", "?").replace(" *", "*").replace(" +", "+")
    )


def _written(token: _Token) -> str:
    match token.kind:
        case "name":
            return _name(token.text)
        case "literal":
            return _literal(_unescaped(token.text[1:-1]))
        case "set":
            return f"/{_set(token.text)}/"
        case "any":
            return r"/[\s\S]/"
        case _:
            return token.text


def _literal(text: str) -> str:
    """Lark reads a literal as JSON reads a string; the empty one is not allowed."""
    return msgspec.json.encode(text).decode() if text else '""'


def _set(text: str) -> str:
    inner = text[1:-1]
    negated = "^" if inner.startswith("^") else ""
    chars = _ESCAPE.sub(lambda match: _in_set(_character(match.group(1))), inner[len(negated) :])
    return f"[{negated}{chars.replace('/', chr(92) + '/')}]"


def _in_set(char: str) -> str:
    return f"\\u{{{ord(char):x}}}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _character(match.group(1)), text)


def _character(escape: str) -> str:
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _PLAIN.get(escape, escape)
