"""`agent config`: what is set, and where it was set."""

import json
import sys

import typer

from agent_api.cli import options

app = typer.Typer(help="Settings.", no_args_is_help=True)


@app.command()
def show(as_json: options.AsJson = False) -> None:
    """Every setting with its value and origin. Secrets are hidden."""
    from agent_api.settings import explain, load, shown

    load()  # a value of the wrong kind is an error here too
    for one in explain():
        value = shown(one)
        if as_json:
            sys.stdout.write(json.dumps({"name": one.name, "value": value, "origin": one.origin}) + "\n")
        else:
            sys.stdout.write(f"{one.name:<14} {value!r:<60} {one.origin}\n")
