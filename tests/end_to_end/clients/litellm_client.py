"""LiteLLM as a client of a daemon: `litellm_client.py ADDRESS KEY`. Prints the name of each check that holds."""

import sys

import litellm

THREE = "w0 w1 w2"
MESSAGES = [{"role": "user", "content": "words=3"}]


def chat(client):
    for model in ("openai/agent", "openai/openai:scripted"):
        reply = litellm.completion(model=model, messages=MESSAGES, **client)
        assert reply.choices[0].message.content.strip() == THREE
        assert reply.usage.total_tokens == 20


def stream(client):
    chunks = list(
        litellm.completion(
            model="openai/agent",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            **client,
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip() == THREE


def responses(client):
    reply = litellm.responses(model="openai/agent", input="words=3", **client)
    assert reply.output[0].content[0].text.strip() == THREE


def embeddings(client):
    reply = litellm.embedding(
        model="openai/static:minilm-256-1", input=["one"], encoding_format="float", **client
    )
    assert len(reply.data[0]["embedding"]) == 256


def errors(client):
    try:
        litellm.completion(model="openai/gpt-9", messages=MESSAGES, **client)
    except litellm.NotFoundError:
        return
    raise AssertionError("no NotFoundError")


if __name__ == "__main__":
    address, key = sys.argv[1:]
    litellm.suppress_debug_info = True
    for check in (chat, stream, responses, embeddings, errors):
        check({"api_base": f"{address}/v1", "api_key": key, "num_retries": 0})
        sys.stdout.write(f"{check.__name__}\n")
        sys.stdout.flush()
