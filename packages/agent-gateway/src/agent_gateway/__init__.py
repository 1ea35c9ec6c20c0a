"""One typed interface to local and remote language models.

Start with `connect`, and with `Router` for several models as one. A name is loaded when it is first used: importing
this loads neither httpx nor an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_gateway.balancing import Balance
    from agent_gateway.breaker import BreakerPolicy
    from agent_gateway.budgets import Budget, Budgets
    from agent_gateway.cache import ResponseCache
    from agent_gateway.catalog import KNOWN, connect
    from agent_gateway.client import HttpChatModel
    from agent_gateway.completing import complete
    from agent_gateway.embeddings import RemoteEmbedder, connect_embedder
    from agent_gateway.engines.llama_cpp import LlamaCppModel
    from agent_gateway.engines.mistral_rs import MistralRsModel
    from agent_gateway.engines.vllm import VllmModel
    from agent_gateway.engines.vllm_server import VllmServerModel
    from agent_gateway.errors import GatewayError
    from agent_gateway.hedging import HedgePolicy
    from agent_gateway.limits import RateLimits
    from agent_gateway.pricing import Price, PriceTable, Rates
    from agent_gateway.recording import RecordingTransport, ReplayTransport, recorded
    from agent_gateway.retry import RetryPolicy
    from agent_gateway.router import Router
    from agent_gateway.standing import Attempt, Outcome, Route
    from agent_gateway.weights import find_weights, pull

    __version__: str
else:
    _NAMES = {
        "balancing": ("Balance",),
        "breaker": ("BreakerPolicy",),
        "budgets": ("Budget", "Budgets"),
        "cache": ("ResponseCache",),
        "catalog": ("KNOWN", "connect"),
        "client": ("HttpChatModel",),
        "completing": ("complete",),
        "embeddings": ("RemoteEmbedder", "connect_embedder"),
        "engines.llama_cpp": ("LlamaCppModel",),
        "engines.mistral_rs": ("MistralRsModel",),
        "engines.vllm": ("VllmModel",),
        "engines.vllm_server": ("VllmServerModel",),
        "errors": ("GatewayError",),
        "hedging": ("HedgePolicy",),
        "limits": ("RateLimits",),
        "pricing": ("Price", "PriceTable", "Rates"),
        "recording": ("RecordingTransport", "ReplayTransport", "recorded"),
        "retry": ("RetryPolicy",),
        "router": ("Router",),
        "standing": ("Attempt", "Outcome", "Route"),
        "weights": ("find_weights", "pull"),
    }
    _HOME = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name == "__version__":
            value: object = import_module("importlib.metadata").version("agent-gateway")
        elif name in _HOME:
            value = getattr(import_module(f"agent_gateway.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


__all__ = [
    "KNOWN",
    "Attempt",
    "Balance",
    "BreakerPolicy",
    "Budget",
    "Budgets",
    "GatewayError",
    "HedgePolicy",
    "HttpChatModel",
    "LlamaCppModel",
    "MistralRsModel",
    "Outcome",
    "Price",
    "PriceTable",
    "RateLimits",
    "Rates",
    "RecordingTransport",
    "RemoteEmbedder",
    "ReplayTransport",
    "ResponseCache",
    "RetryPolicy",
    "Route",
    "Router",
    "VllmModel",
    "VllmServerModel",
    "__version__",
    "complete",
    "connect",
    "connect_embedder",
    "find_weights",
    "pull",
    "recorded",
]
