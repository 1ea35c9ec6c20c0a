"""Pages as text."""

from importlib.util import find_spec

import pytest

from agent_skills.errors import SkillFailedError
from agent_skills.web.reading import readable

PAGE = """<html><head><title>The moon</title><style>p{}</style></head><body>
<nav><a href="/">Home</a><a href="/x">Elsewhere</a></nav>
<article><h1>The moon</h1><p>The moon is a rock that circles the earth. It takes about twenty-seven days for one
circle, and shows always the same side.</p><p>It is <a href="https://example.org/far">far</a> away: 384,400 km on
average, which light needs 1.3 seconds for.</p><table><tr><td>Mass</td><td>7.3e22 kg</td></tr></table></article>
<script>alert("buy")</script><footer>Imprint and cookies</footer></body></html>"""


@pytest.mark.skipif(find_spec("trafilatura") is None, reason="needs the extra agent-skills[fetch]")
def test_what_matters_of_a_page():
    text = readable(PAGE.encode(), "text/html; charset=utf-8")
    assert "The moon is a rock" in text
    assert "384,400 km" in text
    assert "alert" not in text
    assert readable(b"<p>Hi</p>", "text/html").strip() == "Hi"
    assert readable(b"", "text/html") == ""


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("é".encode("latin-1"), "text/plain; charset=iso-8859-1", "é"),
        ("é".encode(), "text/plain", "é"),
        (b"\xff", "text/plain; charset=none-such", "\ufffd"),
        (b"41", "text/plain; charset=hex", "41"),
        (b'{"a": 1}', "application/ld+json", '{"a": 1}'),
        (b"plain", "", "plain"),
    ],
)
def test_other_texts_as_they_are(body, kind, text):
    assert readable(body, kind) == text


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "application/octet-stream"])
def test_what_is_no_text_is_said(kind):
    with pytest.raises(SkillFailedError, match=f"{kind} of 3 bytes"):
        readable(b"\0\1\2", kind)
