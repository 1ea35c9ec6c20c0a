"""Agno's AgentOS with one agent, its sessions in SQLite: `python -P agent_os.py` prints one JSON object with its pid and
address, then serves until it is killed. Its model answers at once, in this process, as ours does.
"""

import json
import os
import socket
import tempfile

import uvicorn
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS

ANSWER = "It is sunny in Lisbon, 24 degrees, with a light wind from the sea."


class ScriptedModel(Model):
    """Says the same to everything."""

    async def ainvoke(self, *_, **__) -> ModelResponse:
        return ModelResponse(role="assistant", content=ANSWER)

    def invoke(self, *_, **__):
        raise NotImplementedError

    invoke_stream = ainvoke_stream = _parse_provider_response = _parse_provider_response_delta = invoke


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(
            id="scripted",
            model=ScriptedModel(id="scripted"),
            db=SqliteDb(db_file=f"{folder}/agno.db"),
            telemetry=False,
        )
        app = AgentOS(agents=[agent], telemetry=False).get_app()
        listener = socket.create_server(("127.0.0.1", 0), backlog=2_000)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"pid": os.getpid(), "address": address, "key": ""}), flush=True)
        config = uvicorn.Config(app, log_config=None, access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


main()
