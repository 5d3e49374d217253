"""Answers of tools, in the port's form."""

import base64
import json

from mcp import types

from openhands_sessions.ports.mcp import McpDone, McpFile

_LONGEST_KIND = 100
_UNKNOWN_KIND = "application/octet-stream"


def done(result: types.CallToolResult) -> McpDone:
    """The answer, from the SDK's form of it."""
    files: list[McpFile] = []
    parts = [_text(part, files) for part in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return McpDone(text="\n".join(parts), files=tuple(files), failed=bool(result.is_error))


def _text(part: object, files: list[McpFile]) -> str:
    """The text of a part; one that is not text is added to the files."""
    match part:
        case types.TextContent(text=text):
            return text
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource(resource=types.BlobResourceContents(uri=uri, blob=blob, mime_type=kind)):
            return f"[resource {uri}] {_attached(blob, kind, files)}"
        case types.ResourceLink(uri=uri):
            return f"[resource {uri}]"
        case types.ImageContent(data=data, mime_type=kind) | types.AudioContent(data=data, mime_type=kind):
            return _attached(data, kind, files)
        case _:
            return "[unknown content left out]"


def _attached(data: str, kind: str | None, files: list[McpFile]) -> str:
    kind = (kind or _UNKNOWN_KIND)[:_LONGEST_KIND]
    try:
        files.append(McpFile(kind=kind, content=base64.b64decode(data, validate=True)))
    except ValueError:
        return f"[{kind} left out: its data is no base64]"
    return f"[attachment {len(files)}]"
