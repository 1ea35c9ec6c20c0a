"""LiteLLM's call and its Router's call against one address: `python -P litellm_router.py BASE_URL` prints one JSON object
with the CPU microseconds of each, the best of several rounds, taking turns.
"""

import asyncio
import json
import os
import sys
import time

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices from the network when imported
os.environ["LITELLM_LOG"] = "ERROR"

import litellm

CALLS, ROUNDS = 40, 6
MESSAGES = [{"role": "user", "content": "What is the weather like in Lisbon today?"}]


async def cpu_us(work):
    began = time.process_time()
    for _ in range(CALLS):
        reply = await work()
        if not reply.choices[0].message.content:
            raise SystemExit("a call gave no answer")
    return (time.process_time() - began) / CALLS * 1e6


async def main(base_url):
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    served = {"model": "openai/m", "api_base": base_url, "api_key": "k"}
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": dict(served)} for _ in range(2)]
    )

    async def call():
        return await litellm.acompletion(messages=MESSAGES, **served)

    async def routed():
        return await router.acompletion(model="m", messages=MESSAGES)

    rounds = [(await cpu_us(call), await cpu_us(routed)) for _ in range(ROUNDS)]
    calls, routeds = zip(*rounds[1:], strict=True)
    print(json.dumps({"call_us": min(calls), "router_us": min(routeds)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
