"""Source code as symbols, by tree-sitter (extra `[code]`): functions, classes and what they are called.

A language without its grammar is text: it is cut by blank lines, and found all the same.
"""

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from agent_core.knowledge import MetadataValue
from agent_memory.knowledge.documents import Document, Heading, suffix_of
from agent_memory.knowledge.parsing.plain import decoded


class _Grammar(NamedTuple):
    module: str
    language: str
    symbols: frozenset[str]
    """The types of nodes that are symbols."""


def _grammar(module: str, *symbols: str, language: str = "language") -> _Grammar:
    return _Grammar(f"tree_sitter_{module}", language, frozenset(symbols))


_C = ("function_definition", "struct_specifier", "class_specifier", "namespace_definition", "enum_specifier")
_JS = ("function_declaration", "class_declaration", "method_definition", "generator_function_declaration")
_TS = (
    *_JS,
    "interface_declaration",
    "type_alias_declaration",
    "enum_declaration",
    "abstract_class_declaration",
)
_GRAMMARS = {
    "python": _grammar("python", "function_definition", "class_definition"),
    "javascript": _grammar("javascript", *_JS),
    "typescript": _grammar("typescript", *_TS, language="language_typescript"),
    "tsx": _grammar("typescript", *_TS, language="language_tsx"),
    "go": _grammar("go", "function_declaration", "method_declaration", "type_spec"),
    "rust": _grammar(
        "rust", "function_item", "struct_item", "enum_item", "trait_item", "impl_item", "mod_item"
    ),
    "java": _grammar(
        "java", "class_declaration", "interface_declaration", "method_declaration", "enum_declaration"
    ),
    "c": _grammar("c", *_C),
    "cpp": _grammar("cpp", *_C),
}
SUFFIXES = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "tsx",
    ".go": "go",
    ".rs": "rust",
    ".java": "java",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".hpp": "cpp",
    ".rb": "ruby",
    ".sh": "shell",
    ".sql": "sql",
    ".php": "php",
    ".cs": "csharp",
    ".kt": "kotlin",
    ".swift": "swift",
    ".scala": "scala",
    ".lua": "lua",
}
_MAX_DEPTH = 12


def code(content: bytes, source: str) -> Document:
    """The text of a source file, with its symbols as headings; `metadata` says the language.

    Raises:
        ParseError: it is binary.
    """
    text = decoded(content, source)
    language = SUFFIXES.get(suffix_of(source), "")
    name = source.rpartition("/")[2]
    test = "test" in name.lower() or "/tests/" in source
    headings = tuple(_symbols(text, _GRAMMARS[language])) if language in _GRAMMARS else ()
    metadata: dict[str, MetadataValue] = {"language": language, "test": test}
    return Document(text=text, kind="code", title=name, headings=headings, metadata=metadata)


def _symbols(text: str, grammar: _Grammar) -> Iterator[Heading]:
    try:
        tree_sitter: Any = importlib.import_module("tree_sitter")
        module: Any = importlib.import_module(grammar.module)
    except ImportError:
        return
    parser = tree_sitter.Parser(tree_sitter.Language(getattr(module, grammar.language)()))
    data = text.encode("utf-8", "replace")
    places = _Places(data)
    waiting: list[tuple[Any, int]] = [(parser.parse(data).root_node, 0)]
    found: list[Heading] = []
    while waiting:
        node, depth = waiting.pop()
        deeper = depth
        if node.type in grammar.symbols:
            name = _name(node)
            if name:
                deeper = depth + 1
                outer = (
                    node.parent
                    if node.parent is not None and node.parent.type.startswith("decorated")
                    else node
                )
                found.append(Heading(places.character(outer.start_byte), deeper, name))
        if deeper < _MAX_DEPTH:
            waiting += [(child, deeper) for child in reversed(node.children)]
    yield from sorted(found, key=lambda heading: heading.start)


def _name(node: Any) -> str:
    named = node.child_by_field_name("name")
    inner = node.child_by_field_name("declarator")
    while named is None and inner is not None:
        # C hides the name of a function in its declarator.
        named = inner if inner.type.endswith("identifier") else None
        inner = inner.child_by_field_name("declarator")
    if named is None:
        # An `impl` of Rust is called by its type.
        named = node.child_by_field_name("type")
    return named.text.decode("utf-8", "replace") if named is not None else ""


class _Places:
    """From bytes of UTF-8 to characters, for places that are asked for in any order."""

    _STEP = 4_096

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._known = [0]

    def character(self, byte: int) -> int:
        step = byte // self._STEP
        while len(self._known) <= step:
            start = (len(self._known) - 1) * self._STEP
            self._known.append(self._known[-1] + _characters(self._data[start : start + self._STEP]))
        return self._known[step] + _characters(self._data[step * self._STEP : byte])


def _characters(data: bytes) -> int:
    """Characters that begin in `data`: all bytes but those that continue one."""
    return sum(1 for byte in data if byte & 0xC0 != 0x80) if not data.isascii() else len(data)
