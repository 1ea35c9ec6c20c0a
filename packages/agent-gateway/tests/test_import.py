import subprocess
import sys

import agent_gateway


def test_the_exports_are_there() -> None:
    """That they are sorted is ruff's to check (RUF022)."""
    assert all(hasattr(agent_gateway, name) for name in agent_gateway.__all__)


def test_importing_loads_no_client_and_no_engine() -> None:
    code = "import sys, agent_gateway; print([m for m in ('httpx', 'xllamacpp', 'http.client') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
