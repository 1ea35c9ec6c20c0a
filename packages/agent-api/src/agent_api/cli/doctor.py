"""`agent doctor`: whether all is well on this machine."""

import sys

import typer

from agent_api.cli import options
from agent_api.exit_codes import EXIT_FAILED, EXIT_OK


def doctor(
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
    as_json: options.AsJson = False,
) -> None:
    """Look whether all is well: settings, disk, journals, model, sandbox, plugins, keys. Exit code 1: something is wrong."""
    import anyio
    import msgspec

    from agent_api.doctor import Finding, Verdict, examine

    overrides = {"model": model, "base_url": base_url, "workspace": workspace, "data_dir": data_dir}

    def show(finding: Finding) -> None:
        if as_json:
            sys.stdout.write(msgspec.json.encode(finding).decode() + "\n")
        else:
            sys.stdout.write(f"{finding.verdict:<8} {finding.check:<14} {finding.detail}\n")

    async def look() -> bool:
        well = True
        async for finding in examine(overrides):
            show(finding)
            well = well and finding.verdict is not Verdict.WRONG
        return well

    raise typer.Exit(EXIT_OK if anyio.run(look) else EXIT_FAILED)
