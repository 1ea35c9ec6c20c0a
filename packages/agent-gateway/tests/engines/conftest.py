"""What the tests of engines share. The engines themselves take minutes: they are run by `pytest -m engines`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON_SETTING, CHECKPOINT_SETTING = "AGENT_VLLM_PYTHON", "AGENT_VLLM_CHECKPOINT"
HOW_TO = f"docs/how-to/run-vllm.md makes one; then set {PYTHON_SETTING} to its interpreter"


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of an environment that has vLLM: a setting's, or this one."""
    if PYTHON_SETTING in os.environ:
        return Path(os.environ[PYTHON_SETTING])
    if not Path("/dev/nvidia0").exists() or importlib.util.find_spec("vllm") is None:
        pytest.skip(f"no environment with a vLLM for this machine is known; {HOW_TO}")
    return Path(sys.executable)


@pytest.fixture(scope="session")
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as vLLM loads it: a setting's folder, or one made from the GGUF file by the script."""
    if CHECKPOINT_SETTING in os.environ:
        return Path(os.environ[CHECKPOINT_SETTING])
    python: Path = request.getfixturevalue("vllm_python")
    weights: Path = request.getfixturevalue("weights")
    folder = tmp_path_factory.mktemp("smollm2")
    command = [str(python), "-m", "agent_gateway.engines.checkpoints", str(weights), str(folder)]
    subprocess.run(command, check=True, timeout=600)
    return folder
