"""Documents of APIs, and the requests that follow from them."""

import json
from pathlib import Path

import msgspec
import pytest

from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.web import openapi

SPECS = Path(__file__).parents[4].parent / "shared" / "specs"
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://api.example.org/v1/"}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "getPet",
                "summary": "Get a pet",
                "parameters": [
                    {"name": "id", "in": "query", "schema": {"type": "string"}},
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                    {"$ref": "#/components/parameters/deep"},
                ],
            },
            "delete": {},
        },
        "/pets": {
            "post": {
                "operationId": "addPet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
            }
        },
    },
    "components": {
        "parameters": {"deep": {"name": "deep", "in": "query", "schema": {"type": "boolean"}}},
        "schemas": {
            "Pet": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "nullable": True, "xml": {"name": "n"}},
                    "mother": {"$ref": "#/components/schemas/Pet"},
                    "far": {"$ref": "https://evil.example/schema.json"},
                },
            }
        },
    },
}


@pytest.fixture
def found():
    return {one.name: one for one in openapi.operations(DOCUMENT)}


def test_what_a_model_may_fill_in(found):
    pet = found["getPet"]
    assert list(pet.schema["properties"]) == ["id", "id_query", "tags", "X-Trace", "deep"]
    assert pet.schema["required"] == ["id"]
    assert found["delete_/pets/{id}"].schema["required"] == ["id"]
    body = found["addPet"].schema["properties"]["body"]
    assert body["properties"]["name"] == {"type": ["string", "null"]}
    assert body["properties"]["mother"] == {}
    assert body["properties"]["far"] == {}


def test_the_request_of_a_call(found):
    arguments = {"id": "a/b?c", "id_query": "x y", "tags": ["p", "q"], "deep": True, "X-Trace": "t"}
    request = openapi.request(found["getPet"], openapi.base_url(DOCUMENT), arguments)
    assert request.url == "https://api.example.org/v1/pets/a%2Fb%3Fc?id=x+y&tags=p&tags=q&deep=true"
    assert request.headers["X-Trace"] == "t"
    request = openapi.request(found["addPet"], "https://x.example", {"body": {"name": "Rex"}})
    assert (request.method, msgspec.json.decode(request.body)) == ("POST", {"name": "Rex"})


@pytest.mark.parametrize(
    "arguments", [{}, {"id": ""}, {"id": ".."}, {"id": "."}, {"id": "a", "X-Trace": "a\r\nHost: evil"}]
)
def test_arguments_that_would_lead_elsewhere(found, arguments):
    with pytest.raises(SkillFailedError):
        openapi.request(found["getPet"], "https://x.example", arguments)


@pytest.mark.parametrize("document", [{}, {"swagger": "2.0"}, {"openapi": "2.0"}])
def test_what_is_no_document(document):
    with pytest.raises(SkillError, match="OpenAPI"):
        list(openapi.operations(document))


@pytest.mark.skipif(not SPECS.is_dir(), reason="the documents of real APIs are not here")
@pytest.mark.parametrize("name", ["openai", "open-responses"])
def test_a_document_of_a_real_api(name):
    document = json.loads((SPECS / f"{name}.json").read_text())
    found = list(openapi.operations(document))
    assert len(found) == len({one.name for one in found}) > 0
    for one in found:
        assert "$ref" not in json.dumps(one.schema)
        assert {argument.name for argument in one.arguments} == set(one.schema["properties"])
