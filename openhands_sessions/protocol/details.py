"""Replies about one conversation that its page in the V0 client asks for."""

from typing import Literal

from openhands_sessions.protocol.payloads import Reply


class ConfigOut(Reply):
    runtime_id: str | None
    session_id: str


class EditorOut(Reply):
    vscode_url: str | None


class HostsOut(Reply):
    hosts: dict[str, int]


class PromptOut(Reply):
    status: Literal["success"]
    prompt: str
