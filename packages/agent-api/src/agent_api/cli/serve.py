"""`agent serve`, also installed as `agentd`: the daemon."""

from typing import Annotated

import typer

from agent_api.cli import options


def serve(
    host: Annotated[
        str | None, typer.Option(help="A loopback address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 takes a free one.", show_default="8420")
    ] = None,
    uds: Annotated[
        str | None, typer.Option(help="A unix socket to listen on instead.", show_default=False)
    ] = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    workspace: options.Workspace = None,
    data_dir: options.DataDir = None,
) -> None:
    """Run the daemon: POST /api/v1/runs starts a run. Every request needs a key: see `agent keys`."""
    import anyio

    from agent_api.logs import set_up_logs
    from agent_api.serving import serve as serve_forever
    from agent_api.settings import explain, load

    overrides = {
        "host": host,
        "port": port,
        "uds": uds,
        "model": model,
        "base_url": base_url,
        "workspace": workspace,
        "data_dir": data_dir,
    }
    settings = load(overrides)
    set_up_logs(level=settings.log_level, form=settings.log_format, secrets=(settings.api_key,))

    async def until_stopped() -> None:
        await serve_forever(settings, on_listening=_tell, origins=explain(overrides))

    anyio.run(until_stopped, backend_options={"use_uvloop": True})


def _tell(address: str, first_key: str) -> None:
    print(f"agentd listens on {address}", flush=True)
    if first_key:
        print(f"admin key, shown this once: {first_key}", flush=True)
