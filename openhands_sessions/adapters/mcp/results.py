"""Answers of tools, in the port's form."""

import json

from mcp import types

from openhands_sessions.ports.mcp import McpDone


def done(result: object) -> McpDone:
    if not isinstance(result, types.CallToolResult):
        return McpDone(text="The tool asked for input, which cannot be given here.", failed=True)
    parts = [_text(part) for part in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return McpDone(text="\n".join(parts), failed=bool(result.is_error))


def _text(part: object) -> str:
    match part:
        case types.TextContent(text=text):
            return text
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource(resource=resource):
            return f"[resource {resource.uri}]"
        case types.ResourceLink(uri=uri):
            return f"[resource {uri}]"
        case types.ImageContent(mime_type=kind) | types.AudioContent(mime_type=kind):
            return f"[{kind} left out]"
        case _:
            return "[unknown content left out]"
