"""`agent run`: one prompt, one run."""

import sys
from typing import Annotated

import typer

from agent_api.cli import options


def run(
    prompt: Annotated[str, typer.Argument(help="What to do; `-` reads it from standard input.")],
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    session: Annotated[str, typer.Option(help="A session: runs of one know what was said before.")] = "",
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Run a prompt: the model thinks, calls tools and answers. A killed run can be resumed."""
    from agent_api.cli.driving import run_prompt
    from agent_api.settings import load

    settings = load({"model": model, "base_url": base_url, "workspace": workspace, "data_dir": data_dir})
    text = _read(prompt)
    raise typer.Exit(run_prompt(settings, text, session_id=session, as_json=as_json))


def _read(prompt: str) -> str:
    from agent_api.errors import SettingsError

    text = prompt
    if prompt == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise SettingsError(f"the prompt on standard input is not UTF-8: {error}") from error
    if not text.strip():
        raise SettingsError("the prompt is empty; give a text, or `-` to read it from standard input")
    return text
