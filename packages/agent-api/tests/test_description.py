"""The OpenAPI document is complete: every route names what it may refuse with, every parameter is described, examples hold."""

import msgspec
import pytest

from agent_api.examples import BODIES, REPLIES, by_schema
from agent_core.testing import answer


async def test_every_route_names_its_refusals(open_serving):
    async with open_serving([]) as (client, daemon):
        headers = {"Authorization": f"Bearer {daemon.first_key}"}
        document = (await client.get("/schema/openapi.json", headers=headers)).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "/schema" not in str(document["paths"].keys())
    assert "401" not in document["paths"]["/health"]["get"]["responses"]
    for path, methods in document["paths"].items():
        if path == "/health":
            continue
        shape, media_type = (
            ("Failure", "application/json")
            if path.startswith("/v1/")
            else ("Problem", "application/problem+json")
        )
        for method, operation in methods.items():
            wanted = {"400", "401", "403", "404", "429", "503", "507"}
            wanted |= {"409", "413"} if method != "get" else set()
            assert wanted <= set(operation["responses"]), (method, path)
            assert operation["security"] == [{"key": []}]
            assert "content" not in operation["responses"].get("204", {})
            content = operation["responses"]["401"]["content"]
            assert content[media_type]["schema"]["$ref"].endswith(shape)


UNSENT = {
    "NewWebhook": "its host would be looked up",
    "CompactRequest": "the scripted model has a script",
    "NewForgetting": "the memory is off",
    "MemoryQuery": "the memory is off",
}
"""Bodies that are not sent here, and why."""


@pytest.fixture
async def described(open_serving):
    async with open_serving([answer("391")] * 4, ask_person=True) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        yield client, (await client.get("/schema/openapi.json")).json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def shown(document):
    """Every example that stands in the document, with its schema."""
    for method, path, operation in operations(document):
        parts = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for place, part in parts.items():
            for content in part.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    yield f"{method} {path} {place}", example["value"], content["schema"]


async def test_every_parameter_is_described_and_every_body_has_an_example(described):
    _, document = described
    missing = [
        f"{method} {path}: {one['name']}"
        for method, path, operation in operations(document)
        for one in operation.get("parameters", ())
        if not one.get("description")
    ]
    missing += [
        f"{method} {path}: body"
        for method, path, operation in operations(document)
        if "requestBody" in operation
        and not all(content.get("examples") for content in operation["requestBody"]["content"].values())
    ]
    assert missing == []


async def test_what_may_be_streamed_is_said(described):
    _, document = described
    for method, path in (
        ("post", "/v1/responses"),
        ("get", "/v1/responses/{response_id}"),
        ("post", "/v1/chat/completions"),
    ):
        kinds = document["paths"][path][method]["responses"]["200"]["content"]
        assert set(kinds) == {"application/json", "text/event-stream"}, path


async def test_every_example_fits_its_schema(described):
    jsonschema = pytest.importorskip("jsonschema")
    _, document = described
    examples = list(shown(document))
    assert len(examples) > 70
    wrong = []
    for place, value, schema in examples:
        root = {**schema, "components": document["components"]}
        errors = jsonschema.Draft202012Validator(root).iter_errors(value)
        wrong += [f"{place}: {error.json_path} {error.message[:200]}" for error in errors]
    assert wrong == []


def test_every_example_is_read_back_as_what_it_is():
    for one in (*BODIES, *REPLIES):
        assert msgspec.convert(by_schema()[type(one).__name__], type(one)) == one


async def test_every_body_that_can_be_sent_is_taken(described):
    client, document = described
    sent = 0
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if not name or "{" in path or name in UNSENT:
            continue
        (example,) = content["examples"].values()
        reply = await client.request(method, path, json=example["value"])
        assert reply.is_success, (path, reply.text)
        sent += 1
    assert sent >= 8
