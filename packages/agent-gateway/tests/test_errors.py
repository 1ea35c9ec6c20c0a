import inspect
import re
from pathlib import Path

import pytest

from agent_core.errors import ConfigurationError, ModelError
from agent_gateway import errors
from agent_gateway.errors import GatewayError, WeightsError


def leaves() -> list[type[GatewayError]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in kinds if issubclass(kind, GatewayError) and kind is not GatewayError]


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = re.findall(r"^[│ ]*[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(kind.__name__ for kind in leaves())


@pytest.mark.parametrize("kind", leaves())
def test_every_leaf_is_one_of_cores_too(kind: type[GatewayError]) -> None:
    assert kind.__name__.endswith("Error")
    assert issubclass(kind, ModelError | ConfigurationError)


def test_weights_are_not_retried_without_a_hand() -> None:
    error = WeightsError(Path("m.gguf"), "there is no such file", "fetch it")
    assert not error.retryable
    assert str(error) == "the weights m.gguf cannot be used: there is no such file; fetch it"
