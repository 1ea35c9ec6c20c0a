import re
import subprocess
import sys
from pathlib import Path

import agent_memory

README = Path(__file__).parents[1] / "README.md"


def test_the_example_says_what_it_says_it_says(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (promised,) = re.findall(r"It prints `(.*?)`", README.read_text())
    assert len([line for line in example.splitlines() if line]) <= 15
    (tmp_path / "example.py").write_text(example)
    ran = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{promised}\n"


def test_every_export_is_there_and_sorted() -> None:
    assert agent_memory.__all__ == sorted(agent_memory.__all__)
    assert all(hasattr(agent_memory, name) for name in agent_memory.__all__)
    assert agent_memory.__version__
    named = set(re.findall(r"^\| `(\w+)`", README.read_text(), flags=re.MULTILINE))
    assert named <= set(agent_memory.__all__)
