"""`agent skills`: what a model can call."""

import json
import sys

import typer

from agent_api.cli import options

app = typer.Typer(help="Skills: what the model can call.", no_args_is_help=True)


@app.command("list")
def list_skills(workspace: options.Workspace = None, as_json: options.AsJson = False) -> None:
    """The skills, and the plugins that brought them; a broken plugin is named with the reason."""
    import anyio

    from agent_api.composition import open_skills
    from agent_api.settings import load
    from agent_skills import probe

    skills = open_skills(load({"workspace": workspace}), anyio.run(probe))
    for plugin, spec in skills.listed():
        if as_json:
            row = {
                "name": spec.name,
                "plugin": plugin,
                "description": spec.description,
                "parameters": spec.parameters,
                "labels": [label.value for label in spec.labels],
                "idempotent": spec.idempotent,
            }
            sys.stdout.write(json.dumps(row) + "\n")
        else:
            summary = spec.description.split("\n")[0]
            sys.stdout.write(f"{spec.name:<16} {plugin:<12} {summary}\n")
    for status in skills.broken:
        sys.stderr.write(f"plugin {status.entry.name} is left out: {status.reason}\n")
