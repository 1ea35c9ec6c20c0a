"""`agent runs`: list, show, resume, approve, deny, cancel."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agent_api.cli import options

if TYPE_CHECKING:
    from agent_core.events import Event
    from agent_core.state import RunState

app = typer.Typer(help="Look at runs and take them up again.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="The id of the run.")]


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """The newest runs."""
    from agent_api.cli.looking import list_runs as listed
    from agent_api.settings import load

    raise typer.Exit(listed(load({"data_dir": data_dir}), limit=limit, as_json=as_json))


@app.command()
def show(run_id: RunId, data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """Every event of a run."""
    from agent_api.cli.looking import show_run
    from agent_api.settings import load

    raise typer.Exit(show_run(load({"data_dir": data_dir}), run_id, as_json=as_json))


@app.command()
def resume(
    run_id: Annotated[
        str, typer.Argument(help="The run. Not given: the newest unfinished.", show_default=False)
    ] = "",
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Take up a run that was interrupted, killed or is waiting no longer."""
    from agent_api.cli.driving import resume_run
    from agent_api.settings import load

    settings = load({"model": model, "base_url": base_url, "workspace": workspace, "data_dir": data_dir})
    raise typer.Exit(resume_run(settings, run_id, as_json=as_json))


@app.command()
def approve(
    run_id: RunId,
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Allow the calls that wait for a person, and go on."""
    from agent_api.cli.driving import resume_run
    from agent_api.settings import load
    from agent_core.events import ApprovalGranted

    def granted(state: "RunState", at: float) -> Sequence["Event"]:
        return [ApprovalGranted(at=at, tool_call_id=one, by=_person()) for one in _asked(state)]

    settings = load({"workspace": workspace, "data_dir": data_dir})
    raise typer.Exit(resume_run(settings, run_id, as_json=as_json, decide=granted))


@app.command()
def deny(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="What the model is told.")] = "",
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Refuse the calls that wait for a person, and go on."""
    from agent_api.cli.driving import resume_run
    from agent_api.settings import load
    from agent_core.events import ApprovalDenied

    def denied(state: "RunState", at: float) -> Sequence["Event"]:
        return [ApprovalDenied(at=at, tool_call_id=one, by=_person(), reason=reason) for one in _asked(state)]

    settings = load({"workspace": workspace, "data_dir": data_dir})
    raise typer.Exit(resume_run(settings, run_id, as_json=as_json, decide=denied))


@app.command()
def fork(
    run_id: RunId,
    at: Annotated[int, typer.Option(min=1, help="The number of the last event that both share.")],
    prompt: Annotated[
        str | None, typer.Option(help="Another prompt; at event 1 or 2.", show_default=False)
    ] = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Go on from an event of a run in a run of its own, with another model or prompt."""
    from agent_api.cli.driving import fork_run
    from agent_api.settings import load

    settings = load({"model": model, "base_url": base_url, "workspace": workspace, "data_dir": data_dir})
    raise typer.Exit(fork_run(settings, run_id, at, prompt, as_json=as_json))


@app.command()
def diff(
    run_id: RunId,
    other_id: Annotated[str, typer.Argument(help="The run to compare it with.")],
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Where two runs part."""
    from agent_api.cli.looking import diff_runs
    from agent_api.settings import load

    raise typer.Exit(diff_runs(load({"data_dir": data_dir}), run_id, other_id, as_json=as_json))


@app.command()
def cancel(run_id: RunId, data_dir: options.DataDir = None, as_json: options.AsJson = False) -> None:
    """End a run for good."""
    from agent_api.cli.looking import cancel_run
    from agent_api.settings import load

    raise typer.Exit(cancel_run(load({"data_dir": data_dir}), run_id, by=_person(), as_json=as_json))


def _asked(state: "RunState") -> list[str]:
    from agent_core.planning import asked

    waiting = [call.call.tool_call_id for call in asked(state.calls)]
    if not waiting:
        sys.stderr.write("note: the run waits for nobody\n")
    return waiting


def _person() -> str:
    """The name under which a decision is journaled: whoever is logged in."""
    import getpass

    return getpass.getuser()
