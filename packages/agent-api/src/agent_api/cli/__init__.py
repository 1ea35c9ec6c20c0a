"""The command line: one file a command group, no logic. Heavy imports happen inside the commands, so that `--help`
is quick.
"""

import os
import sys
from typing import Annotated, NoReturn

import typer

from agent_api.cli import (
    config,
    doctor,
    kb,
    keys,
    mcp,
    memory,
    models,
    run,
    runs,
    schedules,
    serve,
    sessions,
    skills,
    webhooks,
)
from agent_api.exit_codes import EXIT_INTERRUPTED, EXIT_OK

app = typer.Typer(
    name="agent",
    help="An agent for your own metal: local models, tools, durable runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all commands together
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # as typer calls it
    if wanted:
        from agent_api import __version__

        print(f"agent {__version__}")
        raise typer.Exit(EXIT_OK)


@app.callback()
def _agent(
    version: Annotated[  # its callback has said it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An agent for your own metal: local models, tools, durable runs."""


app.command("run")(run.run)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(runs.app, name="runs")
app.add_typer(sessions.app, name="sessions")
app.add_typer(schedules.app, name="schedules")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(models.app, name="models")
app.add_typer(skills.app, name="skills")
app.add_typer(mcp.app, name="mcp")
app.add_typer(kb.app, name="kb")
app.add_typer(memory.app, name="memory")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")


def main() -> None:
    """The command `agent`. An error is one line on standard error and an exit code, with `--json` an object on standard output too."""
    _guarded(app)


def daemon() -> None:
    """The command `agentd`: `agent serve` under the name that systemd knows."""
    sole = typer.Typer(
        name="agentd", pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None
    )
    sole.command()(serve.serve)
    _guarded(sole)


def _guarded(command: typer.Typer) -> None:
    try:
        ended = command(standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _read_enough()
    except SystemExit as stop:  # typer has seen to a broken pipe itself
        if isinstance(stop.__context__, BrokenPipeError):
            _read_enough()
        raise
    except Exception as error:  # noqa: BLE001  # the last boundary: whatever happened is one clear line
        from agent_api.cli.failure import explain

        sys.exit(explain(error, as_json="--json" in sys.argv[1:]))
    sys.exit(ended if isinstance(ended, int) else EXIT_OK)


def _read_enough() -> NoReturn:
    """Whoever read our output has enough: what Python writes at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(EXIT_OK)
