"""A daemon around a scripted model, a client with its first key, and the OpenAPI documents that replies must fit."""

import json
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

SPECS = Path(__file__).parents[5] / "shared" / "specs"


@pytest.fixture
def serving(open_serving):
    @asynccontextmanager
    async def opened(replies, **settings):
        async with open_serving(replies, **settings) as (client, daemon):
            client.headers["authorization"] = f"Bearer {daemon.first_key}"
            yield client, daemon

    return opened


@pytest.fixture
def frames():
    """The JSON of every `data:` line of a reply; `[DONE]` as it stands."""

    def read(text):
        lines = [line[len("data: ") :] for line in text.splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    return read


def nullable(schema):
    """The document says `nullable`, a word of OpenAPI 3.0, where JSON schema says that null is one of the types."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: nullable(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner


@cache
def validator(document, schema):
    jsonschema = pytest.importorskip("jsonschema")
    path = SPECS / document
    if not path.is_file():
        pytest.skip(f"{document} is not beside the checkout")
    components = json.loads(path.read_text(encoding="utf-8"))["components"]
    assert schema in components["schemas"], schema
    components = nullable(components)
    root = {"$ref": f"#/components/schemas/{schema}", "components": components}
    return jsonschema.Draft202012Validator(root)


@cache
def event_schemas():
    """The schema of every streaming event of Open Responses, by the event's type."""
    path = SPECS / "open-responses.json"
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside the checkout")
    schemas = json.loads(path.read_text(encoding="utf-8"))["components"]["schemas"]
    return {
        schema["properties"]["type"]["enum"][0]: name
        for name, schema in schemas.items()
        if name.endswith("StreamingEvent")
    }


@pytest.fixture
def wrong_event():
    """What Open Responses objects to in an event; empty: nothing."""

    def look(event):
        errors = validator("open-responses.json", event_schemas()[event["type"]]).iter_errors(event)
        return [f"{error.json_path}: {error.message[:300]}" for error in errors]

    return look


@pytest.fixture
def wrong():
    """What a document objects to in a reply; empty: nothing."""

    def look(instance, schema, document="openai.json"):
        errors = validator(document, schema).iter_errors(instance)
        return [f"{error.json_path}: {error.message[:300]}" for error in errors]

    return look
