"""Search engines of the web: what each is asked, and how its reply is read. Pure but for `ddgs`.

Sources: docs.searxng.org/dev/search_api, api-dashboard.search.brave.com (web search), docs.tavily.com (search), all as of
October 2026.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.http import HttpRequest

EngineName: TypeAlias = Literal["searxng", "brave", "tavily", "ddgs"]

BRAVE = "https://api.search.brave.com/res/v1/web/search"
TAVILY = "https://api.tavily.com/search"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One result."""

    title: str
    url: str
    text: str


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which engine is asked."""

    engine: EngineName
    url: str = ""
    """Of your SearXNG; the others have one of their own."""
    networks: tuple[str, ...] = ()
    """Networks that are not public and where your SearXNG is, such as `127.0.0.1/32`."""
    secret: str = ""
    """The name of the secret that holds the key, for Brave and Tavily; empty: `brave_key` or `tavily_key`."""
    timeout_s: float = 15.0

    def __post_init__(self) -> None:
        """Hold that it can be asked.

        Raises:
            SkillError: an address is missing, or is none.
        """
        try:
            _ = urlsplit(self.url).port
        except ValueError as error:
            raise SkillError(f"{self.url!r} is no address: {error}") from None
        if self.engine == "searxng" and not self.url.startswith(("http://", "https://")):
            raise SkillError("searxng needs the url of your instance, beginning with https:// or http://")

    @property
    def secret_name(self) -> str:
        """The name of the secret; empty where none is needed."""
        return (self.secret or f"{self.engine}_key") if self.engine in {"brave", "tavily"} else ""


def asked(settings: SearchSettings, query: str, count: int, key: str) -> HttpRequest:
    """The request for a query, of an engine that is asked over HTTP."""
    match settings.engine:
        case "searxng":
            address = f"{settings.url.rstrip('/')}/search?{urlencode({'q': query, 'format': 'json'})}"
            return HttpRequest(method="GET", url=address, headers={"accept": "application/json"})
        case "brave":
            headers = {"accept": "application/json", "x-subscription-token": key}
            address = f"{BRAVE}?{urlencode({'q': query, 'count': count})}"
            return HttpRequest(method="GET", url=address, headers=headers)
        case "tavily":
            headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
            body = msgspec.json.encode({"query": query, "max_results": count})
            return HttpRequest(method="POST", url=TAVILY, headers=headers, body=body)
        case "ddgs":
            raise SkillError("ddgs is no engine that is asked over HTTP")


def read(engine: EngineName, body: bytes, count: int) -> list[Found]:
    """The results in a reply.

    Raises:
        SkillFailedError: it is no reply of that engine.
    """
    try:
        reply = msgspec.json.decode(body, type=dict[str, Any])
        results = (
            reply["web"]["results"] if engine == "brave" and "web" in reply else reply.get("results", ())
        )
        return [_found(one) for one in list(results)[:count]]
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        raise SkillFailedError(f"{engine} answered what nobody can read", code="unreadable") from None


def by_ddgs(query: str, count: int) -> list[Found]:
    """Ask by the library `ddgs` (the extra `agent-skills[ddgs]`). Blocks: call it in a thread.

    Raises:
        SkillFailedError: no engine answered.
    """
    import ddgs  # noqa: PLC0415 - the extra
    from ddgs.exceptions import DDGSException  # noqa: PLC0415 - as above

    # Made by a decorator without types.
    client = cast("Callable[..., Any]", ddgs.DDGS)  # pyright: ignore[reportUnknownMemberType]
    search = cast("Callable[..., list[Mapping[str, Any]]]", client(timeout=10).text)
    try:
        return [_found(one) for one in search(query, max_results=count)]
    except DDGSException as error:
        raise SkillFailedError(
            f"no search engine answered ({type(error).__name__})", retryable=True
        ) from error


def require(settings: SearchSettings) -> None:
    """Hold that what an engine needs is installed.

    Raises:
        SkillError: it is not.
    """
    if settings.engine == "ddgs" and find_spec("ddgs") is None:
        raise SkillError("searching by ddgs needs the library; install agent-skills[ddgs]")


_TEXT = MappingProxyType(
    {"title": ("title",), "url": ("url", "href"), "text": ("content", "description", "body")}
)


def _found(result: Mapping[str, Any]) -> Found:
    values = {
        field: next((str(result[key]) for key in keys if result.get(key)), "")
        for field, keys in _TEXT.items()
    }
    return Found(**values)
