"""Replies of the routes of workspaces: files, changes, microagents."""

from dataclasses import asdict
from typing import Any, Literal

from openhands_sessions.core.microagents import Microagent
from openhands_sessions.protocol.payloads import Reply, Schema

UPLOAD: Schema = {
    "type": "object",
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    "required": ["files"],
}


class MicroagentOut(Reply):
    """One file of knowledge, as the V0 client lists it."""

    name: str
    type: str
    content: str
    triggers: list[str]
    inputs: list[Any]
    tools: list[Any]

    @classmethod
    def of(cls, microagent: Microagent) -> "MicroagentOut":
        return cls(**asdict(microagent), inputs=[], tools=[])


class MicroagentsOut(Reply):
    microagents: list[MicroagentOut]


class FileOut(Reply):
    code: str


class ChangeOut(Reply):
    path: str
    status: Literal["A", "M", "D", "R", "U"]
    old_path: str | None = None


class DiffOut(Reply):
    original: str | None
    modified: str | None


class SkippedOut(Reply):
    name: str
    reason: str


class RenamedOut(Reply):
    name: str
    path: str


class UploadOut(Reply):
    uploaded_files: list[str]
    skipped_files: list[SkippedOut]
    renamed_files: list[RenamedOut] | None = None
