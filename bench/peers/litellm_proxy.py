"""LiteLLM's proxy in front of one model: `python -P litellm_proxy.py BASE_URL` prints one JSON object with its pid, address and
key, then serves until it is killed. One worker, without a database, as its documentation starts it.
"""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

KEY = "sk-bench"
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}


def main() -> None:
    served = {"model": "openai/m", "api_base": sys.argv[1], "api_key": "k"}
    settings = {
        "model_list": [{"model_name": "m", "litellm_params": served}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps(settings))  # JSON is YAML
        os.environ["CONFIG_FILE_PATH"] = str(config)
        import uvicorn
        from litellm.proxy.proxy_server import app

        listener = socket.create_server(("127.0.0.1", 0), backlog=2_000)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"pid": os.getpid(), "address": address, "key": KEY}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])


main()
