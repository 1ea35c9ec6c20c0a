"""What the model `willing` of `scripted_model.py` does: it calls a tool that is asked for by name or has to be called, and
answers in JSON where a schema is asked for. The values fit the schema and come from the prompt: for tests that others wrote.
"""

import json
import re

IN_WORDS = "JSON value that fits this JSON schema, and nothing else:\n"


def call_for(request, prompt):
    """The function to call and its arguments; None: it answers."""
    tools = {tool["function"]["name"]: tool["function"] for tool in request.get("tools", ())}
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        name = choice["function"]["name"]
    else:
        words = {word for word in re.findall(r"\w+", prompt.lower()) if len(word) > 3}
        asked = [name for name in tools if name in prompt or words & {*name.lower().split("_")}]
        name = next(iter(asked or (tools if choice == "required" else ())), "")
    if not name:
        return None
    return {"name": name, "arguments": json.dumps(value(tools[name].get("parameters", {}), prompt))}


def answer_for(request, prompt):
    """The whole answer, where its form is given; else None."""
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(value(form["json_schema"]["schema"], prompt))
    for message in request["messages"]:  # asked for in words, as the agent does beside its tools
        if message["role"] == "system" and IN_WORDS in message["content"]:
            return json.dumps(value(json.loads(message["content"].rpartition(IN_WORDS)[2]), prompt))
    return "{}" if form.get("type") == "json_object" else None


def value(schema, prompt, definitions=None):
    """Something that fits a schema."""
    definitions = definitions or schema.get("$defs", {})
    if "$ref" in schema:
        return value(definitions[schema["$ref"].rpartition("/")[2]], prompt, definitions)
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return value(schema[key][0], prompt, definitions)
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            wanted = schema.get("required", fields)
            return {name: value(fields[name], prompt, definitions) for name in wanted}
        case "array":
            return [value(schema.get("items", {}), prompt, definitions)]
        case "integer" | "number":
            return int((re.findall(r"\d+", prompt) or ["1"])[0])
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return (re.findall(r"'([^']+)'", prompt) or [prompt or "words"])[0]
