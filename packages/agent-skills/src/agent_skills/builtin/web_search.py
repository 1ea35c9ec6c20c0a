"""The skill `web_search`: pages of the web that fit a query, by SearXNG, Brave, Tavily or `ddgs`."""

from urllib.parse import urlsplit

import anyio.to_thread

from agent_core.tools import ArgumentRole, Label
from agent_skills.errors import SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.secrets import SecretSource
from agent_skills.skill import skill
from agent_skills.web import engines
from agent_skills.web.engines import Found, SearchSettings
from agent_skills.web.guarded import GuardedWeb, WebLimits
from agent_skills.web.hosts import Resolve

MAX_RESULTS = 20
_MAX_TEXT_CHARS = 600
_EXAMPLES = (
    ("search the web for solar panels", {"query": "solar panels"}),
    ("google the population of Peru", {"query": "population of Peru"}),
    ("look up the newest Python release online", {"query": "newest Python release"}),
    ("find pages about bread baking", {"query": "bread baking"}),
    ("what does the internet say about sleep", {"query": "sleep"}),
)


class WebSearchPlugin:
    """Brings `web_search`."""

    def __init__(
        self,
        settings: SearchSettings,
        secret: SecretSource,
        *,
        resolve: Resolve | None = None,
        ports: tuple[int, ...] = (80, 443, 8080, 8888),
    ) -> None:
        """`secret` gives the value of a secret by its name, asked at each call."""
        self._settings = settings
        self._secret = secret
        own = urlsplit(settings.url).port  # an instance of your own may listen anywhere
        limits = WebLimits(
            networks=settings.networks,
            ports=(*ports, own) if own else ports,
            timeout_s=settings.timeout_s,
            max_redirects=2,
        )
        self._web = GuardedWeb(limits, resolve=resolve)

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it; refused where the engine's library is missing."""
        engines.require(self._settings)
        decorate = skill(
            name="web_search",
            examples=_EXAMPLES,
            labels=[Label.RETURNS_UNTRUSTED, Label.SENDS_OUT],
            roles={"query": ArgumentRole.SOURCE, "count": ArgumentRole.CONTENT},
            idempotent=True,
            timeout_s=self._settings.timeout_s + 5.0,
        )
        register(decorate(self._search))

    async def _search(self, query: str, count: int = 5) -> str:
        """Search the web and return titles, addresses and short extracts of pages.

        Args:
            query: What to search for, as one types it into a search engine.
            count: How many results, at most 20.
        """
        wanted = min(max(count, 1), MAX_RESULTS)
        found = await self._ask(query, wanted)
        return "\n\n".join(_shown(number, one) for number, one in enumerate(found, 1)) or "Nothing was found."

    async def _ask(self, query: str, count: int) -> list[Found]:
        engine = self._settings.engine
        if engine == "ddgs":
            return await anyio.to_thread.run_sync(engines.by_ddgs, query, count, abandon_on_cancel=True)
        name = self._settings.secret_name
        key = (self._secret(name) or "") if name else ""
        if name and not key:
            raise SkillFailedError(f"{engine} needs a key, and there is no secret {name!r}", code="no_secret")
        reply = await self._web.send(engines.asked(self._settings, query, count, key))
        if reply.status != 200:
            may_pass = reply.status == 429 or reply.status >= 500
            raise SkillFailedError(
                f"{engine} answers HTTP {reply.status}", code="http_status", retryable=may_pass
            )
        return engines.read(engine, reply.body, count)


def _shown(number: int, found: Found) -> str:
    text = " ".join(found.text.split())
    short = text if len(text) <= _MAX_TEXT_CHARS else f"{text[:_MAX_TEXT_CHARS]}..."
    return f"{number}. {found.title}\n{found.url}\n{short}"
