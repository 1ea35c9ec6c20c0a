"""A page as text that a model can read: what matters of HTML by `trafilatura` (the extra `agent-skills[fetch]`), other
texts as they are. Pure but for the library.
"""

import re
from importlib.util import find_spec

from agent_skills.errors import SkillError, SkillFailedError

MAX_HTML_CHARS = 2_000_000
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript", "application/yaml")
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


def require() -> None:
    """Hold that the library is there.

    Raises:
        SkillError: it is not; the message says what to install.
    """
    if find_spec("trafilatura") is None:
        raise SkillError("reading web pages needs `trafilatura`; install agent-skills[fetch]")


def readable(body: bytes, content_type: str) -> str:
    """The text of a page: of HTML the title, the headings, paragraphs, lists, tables and links of its main part.

    Takes long for a large page (a second for a megabyte): call it in a thread.

    Args:
        body: what was fetched, decompressed.
        content_type: the header, with its parameters.

    Raises:
        SkillFailedError: it is no text.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _HTML or (not kind and body.lstrip()[:1] == b"<"):
        return _of_html(_decoded(body, content_type)[:MAX_HTML_CHARS])
    if (
        kind.startswith(_TEXTS)
        or kind.endswith(("+json", "+xml"))
        or (not kind and b"\0" not in body[:1_000])
    ):
        return _decoded(body, content_type)
    raise SkillFailedError(f"it is {kind or 'data'} of {len(body):,} bytes, and no text", code="not_text")


def _of_html(html: str) -> str:
    import trafilatura  # noqa: PLC0415 - the extra, heavy

    if not html.strip():
        return ""
    if "<html" not in html.lower():
        html = f"<html><body>{html}</body></html>"
    text = trafilatura.extract(
        html, output_format="markdown", include_links=True, include_tables=True, with_metadata=False
    )
    if not text:  # a page that is all navigation, or very short
        text = trafilatura.html2txt(html)
    title = re.search(r"<title[^>]*>([^<]{1,300})</title>", html, re.IGNORECASE)
    heading = " ".join(title[1].split()) if title else ""
    return f"# {heading}\n\n{text}" if heading and heading not in text[:500] else text


def _decoded(body: bytes, content_type: str) -> str:
    found = _CHARSET.search(content_type) or _CHARSET.search(body[:2_000].decode("latin-1"))
    try:
        return body.decode(found[1] if found else "utf-8", "replace")
    except LookupError:  # no charset, or one that is none of text
        return body.decode("utf-8", "replace")
