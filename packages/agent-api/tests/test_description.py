"""The OpenAPI document is complete: every route names what it may refuse with, in the shape that it refuses in."""


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
