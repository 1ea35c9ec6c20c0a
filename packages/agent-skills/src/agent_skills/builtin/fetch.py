"""The skill `fetch`: a page of the web, as text. Where it may lead is `web.guarded`'s to say."""

import anyio.to_thread

from agent_core.tools import ArgumentRole, Label
from agent_skills.errors import SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.http import HttpRequest
from agent_skills.skill import skill
from agent_skills.web import reading
from agent_skills.web.guarded import GuardedWeb

PART_CHARS = 20_000
"""Characters of a page that one call returns."""

_EXAMPLES = (
    ("fetch https://example.org/news", {"url": "https://example.org/news"}),
    ("read the page https://example.org", {"url": "https://example.org"}),
    ("what does https://example.org/about say?", {"url": "https://example.org/about"}),
    ("open the website example.org", {"url": "https://example.org"}),
    ("summarise https://example.org/post", {"url": "https://example.org/post"}),
)


class FetchPlugin:
    """Brings `fetch`."""

    def __init__(self, web: GuardedWeb) -> None:
        self._web = web

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it; refused where the library that reads pages is missing."""
        reading.require()
        decorate = skill(
            name="fetch",
            examples=_EXAMPLES,
            labels=[Label.RETURNS_UNTRUSTED, Label.SENDS_OUT],  # an address carries data out as well
            roles={"url": ArgumentRole.SOURCE, "start": ArgumentRole.CONTENT},
            idempotent=True,
            timeout_s=self._web.limits.timeout_s + 15.0,
        )
        register(decorate(self._fetch))

    async def _fetch(self, url: str, start: int = 0) -> str:
        """Fetch a page of the public web and return its text.

        Args:
            url: The address, beginning with https:// or http://.
            start: The character of the text to begin at, to read on in a long page.
        """
        reply = await self._web.send(
            HttpRequest(
                method="GET",
                url=url.strip() if "://" in url else f"https://{url.strip()}",
                headers={
                    "accept": "text/html, text/plain, application/json;q=0.9, */*;q=0.1",
                    "accept-encoding": "gzip",
                },
            )
        )
        if reply.status >= 400:
            raise SkillFailedError(
                f"{reply.url} answers HTTP {reply.status}", code="http_status", retryable=reply.status >= 500
            )
        kind = reply.headers.get("content-type", "")
        text = await anyio.to_thread.run_sync(reading.readable, reply.body, kind, abandon_on_cancel=True)
        part = text[max(start, 0) : max(start, 0) + PART_CHARS]
        if not part:
            return f"The page has {len(text):,} characters; there is nothing from {start:,} on."
        rest = len(text) - max(start, 0) - len(part)
        more = (
            f"\n[{rest:,} more characters: call again with start={max(start, 0) + len(part)}]" if rest else ""
        )
        return f"{reply.url}\n\n{part}{more}"
