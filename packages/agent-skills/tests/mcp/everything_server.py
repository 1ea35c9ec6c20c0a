"""The server that the MCP conformance suite asks for: every feature once, by the names that the suite knows.

Run by hand: `python everything_server.py PORT`; the address is then http://localhost:PORT/mcp.
"""

import json
import sys

import anyio
import uvicorn

from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.asgi import McpHttp
from agent_skills.mcp.server.exchange import ELICIT, ROOTS, SAMPLE, Question
from agent_skills.mcp.server.server import McpServer, ServerSettings
from agent_skills.mcp.wire import Code

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
EMPTY = {"type": "object", "properties": {}}


def text(*lines):
    return {"content": [{"type": "text", "text": line} for line in lines]}


def embedded(uri, mime_type, body):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": body}}


def form(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Question(method=ELICIT, params={"message": message, "requestedSchema": schema})


def sample(prompt, max_tokens=100):
    message = {"role": "user", "content": {"type": "text", "text": prompt}}
    return Question(method=SAMPLE, params={"messages": [message], "maxTokens": max_tokens})


ROOTS_PLEASE = Question(method=ROOTS)
NAME = form("What is your name?", name={"type": "string"})


async def simple_text(_exchange, _arguments):
    return text("This is a simple text response for testing.")


async def image(_exchange, _arguments):
    return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}


async def audio(_exchange, _arguments):
    return {"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}


async def embedded_resource(_exchange, _arguments):
    body = "This is an embedded resource content."
    return {"content": [embedded("test://embedded-resource", "text/plain", body)]}


async def several_kinds(_exchange, _arguments):
    body = '{"test":"data","value":123}'
    return {
        "content": [
            {"type": "text", "text": "Multiple content types test:"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            embedded("test://mixed-content-resource", "application/json", body),
        ]
    }


async def with_logging(exchange, _arguments):
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await exchange.log("info", line)
        await anyio.sleep(0.05)
    return text("Tool with logging executed successfully")


async def with_progress(exchange, _arguments):
    for done in (0, 50, 100):
        await exchange.progress(done, 100)
        await anyio.sleep(0.05)
    return text("done")


async def failing(_exchange, _arguments):
    return {**text("This tool intentionally returns an error for testing"), "isError": True}


async def sampling(exchange, arguments):
    said = await exchange.ask({"answer": sample(arguments["prompt"])})
    return text(f"LLM response: {said['answer']['content'].get('text', '')}")


def said(answer):
    return f"action={answer['action']}, content={json.dumps(answer.get('content', {}))}"


ASKED = 0
"""How often the tool `test_elicitation` was about to ask."""


async def elicitation(exchange, arguments):
    global ASKED  # noqa: PLW0603 - a test looks at it
    ASKED += 1
    question = form(
        arguments["message"],
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )
    return text(f"User response: {said((await exchange.ask({'user': question}))['user'])}")


async def elicitation_defaults(exchange, _arguments):
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    params = {"message": "Please check", "requestedSchema": {"type": "object", "properties": properties}}
    answer = await exchange.ask({"user": Question(method=ELICIT, params=params)})
    return text(f"Elicitation completed: {said(answer['user'])}")


async def elicitation_enums(exchange, _arguments):
    def titled(*pairs):
        return [{"const": value, "title": title} for value, title in pairs]

    properties = {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": titled(
                ("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")
            ),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": titled(
                    ("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice")
                )
            },
        },
    }
    params = {"message": "Please choose", "requestedSchema": {"type": "object", "properties": properties}}
    answer = await exchange.ask({"user": Question(method=ELICIT, params=params)})
    return text(f"Elicitation completed: {said(answer['user'])}")


async def missing_capability(exchange, _arguments):
    exchange.require("sampling")
    return text("the client can sample")


async def streaming_elicitation(exchange, _arguments):
    await exchange.progress(1, 2)
    return text(said((await exchange.ask({"user_name": NAME}))["user_name"]))


async def input_elicitation(exchange, _arguments):
    answer = (await exchange.ask({"user_name": NAME}))["user_name"]
    return text(f"Hello, {answer.get('content', {}).get('name', 'whoever you are')}!")


async def input_sampling(exchange, _arguments):
    answers = await exchange.ask({"capital_question": sample("What is the capital of France?")})
    return text(str(answers["capital_question"]["content"]))


async def input_roots(exchange, _arguments):
    answers = await exchange.ask({"client_roots": ROOTS_PLEASE})
    return text(*(str(root.get("uri")) for root in answers["client_roots"]["roots"]))


async def input_state(exchange, _arguments):
    await exchange.ask({"confirm": form("Please confirm", ok={"type": "boolean"})}, state={"step": 1})
    return text("state-ok" if exchange.state == {"step": 1} else "state-lost")


async def input_several(exchange, _arguments):
    questions = {
        "user_name": NAME,
        "greeting": sample("Generate a greeting", 50),
        "client_roots": ROOTS_PLEASE,
    }
    answers = await exchange.ask(questions, state={"step": 1})
    return text(f"all {len(answers)} answers are there")


async def input_rounds(exchange, _arguments):
    first = form("Step 1: What is your name?", name={"type": "string"})
    second = form("Step 2: What is your favorite color?", color={"type": "string"})
    await exchange.ask({"step1": first}, state={"step": 1})
    await exchange.ask({"step2": second}, state={"step": 2})
    return text("both steps are done")


async def with_header(_exchange, arguments):
    return text(f"region {arguments.get('region')}")


def change(kind):
    async def tool(_exchange, _arguments):
        SERVER.changed(kind)
        return text(f"{kind} changed")

    return tool


TOOLS = {
    "test_simple_text": simple_text,
    "test_image_content": image,
    "test_audio_content": audio,
    "test_embedded_resource": embedded_resource,
    "test_multiple_content_types": several_kinds,
    "test_tool_with_logging": with_logging,
    "test_logging_tool": with_logging,
    "test_tool_with_progress": with_progress,
    "test_error_handling": failing,
    "test_sampling": sampling,
    "test_elicitation": elicitation,
    "test_elicitation_sep1034_defaults": elicitation_defaults,
    "test_elicitation_sep1330_enums": elicitation_enums,
    "test_missing_capability": missing_capability,
    "test_streaming_elicitation": streaming_elicitation,
    "test_input_required_result_elicitation": input_elicitation,
    "test_input_required_result_sampling": input_sampling,
    "test_input_required_result_list_roots": input_roots,
    "test_input_required_result_request_state": input_state,
    "test_input_required_result_tampered_state": input_state,
    "test_input_required_result_multiple_inputs": input_several,
    "test_input_required_result_multi_round": input_rounds,
    "test_input_required_result_capabilities": input_sampling,
    "test_header_tool": with_header,
    "json_schema_2020_12_tool": simple_text,
    "test_trigger_tool_change": change("tools"),
    "test_trigger_prompt_change": change("prompts"),
}
SCHEMAS = {
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    },
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_header_tool": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
}


class EverythingTools:
    async def list(self):
        return [
            {"name": name, "description": f"The tool {name}", "inputSchema": SCHEMAS.get(name, EMPTY)}
            for name in TOOLS
        ]

    async def call(self, name, arguments, exchange):
        if name not in TOOLS:
            raise McpRefusedError(Code.INVALID_PARAMS, f"there is no tool {name!r}")
        return await TOOLS[name](exchange, arguments)


async def list_resources(_exchange):
    def resource(name, mime_type):
        return {"uri": f"test://{name}", "name": name, "description": name, "mimeType": mime_type}

    return {
        "resources": [resource("static-text", "text/plain"), resource("static-binary", "image/png")],
    }


async def list_templates(_exchange):
    template = {"uriTemplate": "test://template/{id}/data", "name": "template", "description": "A template"}
    return {"resourceTemplates": [{**template, "mimeType": "application/json"}]}


async def read_resource(exchange):
    uri = exchange.request.given.get("uri", "")
    if uri == "test://static-text":
        body = {"mimeType": "text/plain", "text": "This is the content of the static text resource."}
    elif uri == "test://static-binary":
        body = {"mimeType": "image/png", "blob": PNG}
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        part = uri.removeprefix("test://template/").removesuffix("/data")
        data = {"id": part, "templateTest": True, "data": f"Data for ID: {part}"}
        body = {"mimeType": "application/json", "text": json.dumps(data)}
    else:
        raise McpRefusedError(Code.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, **body}]}


ARGUMENTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_prompts(_exchange):
    def prompt(name, arguments):
        described = [{"name": one, "description": one, "required": True} for one in arguments]
        return {"name": name, "description": f"The prompt {name}", "arguments": described}

    return {"prompts": [prompt(name, arguments) for name, arguments in ARGUMENTS.items()]}


async def get_prompt(exchange):
    given = exchange.request.given.get("arguments", {})
    match exchange.request.given.get("name"):
        case "test_simple_prompt":
            parts = text("This is a simple prompt for testing.")
        case "test_prompt_with_arguments":
            parts = text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
        case "test_prompt_with_embedded_resource":
            resource = embedded(
                given.get("resourceUri"), "text/plain", "Embedded resource content for testing."
            )
            parts = {"content": [resource, *text("Please process the embedded resource above.")["content"]]}
        case "test_prompt_with_image":
            picture = {"type": "image", "data": PNG, "mimeType": "image/png"}
            parts = {"content": [picture, *text("Please analyze the image above.")["content"]]}
        case "test_input_required_result_prompt":
            question = form("What context should the prompt use?", context={"type": "string"})
            answer = (await exchange.ask({"user_context": question}))["user_context"]
            parts = text(f"In the context of {answer.get('content')}")
        case name:
            raise McpRefusedError(Code.INVALID_PARAMS, f"there is no prompt {name!r}")
    return {"messages": [{"role": "user", "content": part} for part in parts["content"]]}


async def complete(_exchange):
    return {"completion": {"values": [], "total": 0, "hasMore": False}}


async def acknowledge(_exchange):
    return {}


SERVER = McpServer(
    ServerSettings(name="everything", version="1.0.0"),
    EverythingTools(),
    methods={
        "resources/list": list_resources,
        "resources/templates/list": list_templates,
        "resources/read": read_resource,
        "resources/subscribe": acknowledge,
        "resources/unsubscribe": acknowledge,
        "prompts/list": list_prompts,
        "prompts/get": get_prompt,
        "completion/complete": complete,
        "logging/setLevel": acknowledge,
    },
    capabilities={
        "prompts": {"listChanged": True},
        "resources": {"subscribe": True},
        "completions": {},
        "logging": {},
    },
)

if __name__ == "__main__":
    uvicorn.run(McpHttp(SERVER), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
