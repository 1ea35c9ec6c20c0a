"""One typed interface to local and remote language models.

Start with `open_model`. Importing this loads neither httpx nor an engine: both wait for their first use.
"""

from importlib.metadata import version

from agent_gateway.catalog import KNOWN, open_model
from agent_gateway.client import OpenAIChatModel
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.errors import GatewayError
from agent_gateway.weights import find_weights, pull

__version__ = version("agent-gateway")

__all__ = [
    "KNOWN",
    "GatewayError",
    "LlamaCppModel",
    "OpenAIChatModel",
    "__version__",
    "find_weights",
    "open_model",
    "pull",
]
