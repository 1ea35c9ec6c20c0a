import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.model
def test_the_examples_run(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block by itself, offline."""
    pytest.importorskip("xllamacpp")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip()
