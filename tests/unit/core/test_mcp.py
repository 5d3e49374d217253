"""MCP servers in settings: the V0 client's form, and what of it is secret."""

from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.core.settings import merge, public, secrets

CONFIG: dict[str, Any] = {
    "sse_servers": ["https://a.example/sse"],
    "shttp_servers": [{"url": "http://b.example/mcp", "api_key": "key-of-b", "timeout": 60}],
    "stdio_servers": [{"name": "c", "command": "uvx", "args": ["x"], "env": {"TOKEN": "token-of-c", "LEVEL": "info"}}],
}


def test_the_v0_clients_form_is_taken() -> None:
    config = McpConfig.model_validate(CONFIG)
    assert [server.url for server in (*config.sse_servers, *config.shttp_servers)] == [
        "https://a.example/sse",
        "http://b.example/mcp",
    ]
    assert config.stdio_servers[0].args == ("x",)
    assert not config.empty
    assert McpConfig().empty


def test_keys_are_masked_and_shown_to_nobody() -> None:
    settings = merge({"mcp_config": CONFIG})
    assert set(secrets(settings)) == {"key-of-b", "token-of-c"}
    assert "mcp_config" not in public(settings)
    assert "key-of-b" not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"sse_servers": ["ftp://x"]},
        {"sse_servers": ["file:///etc/passwd"]},
        {"shttp_servers": [{"url": "http://a b"}]},
        {"shttp_servers": [{"url": "http://[::1"}]},
        {"sse_servers": ["https://"]},
        {"stdio_servers": [{"name": "x"}]},
        {"stdio_servers": [{"name": "", "command": "x"}]},
        {"sse_servers": ["http://x"] * 100},
        {"sse_servers": [{"url": "http://x", "api_key": "a\r\nb"}]},
        {"stdio_servers": [{"name": "a\0b", "command": "x"}]},
        {"stdio_servers": [{"name": "x", "command": "a\0b"}]},
        {"stdio_servers": [{"name": "x", "command": "y", "args": ["a\0b"]}]},
        {"stdio_servers": [{"name": "x", "command": "y", "args": ["\ud800"]}]},
        {"stdio_servers": [{"name": "x", "command": "y", "env": {"A": "a\0b"}}]},
        {"stdio_servers": [{"name": "x", "command": "y", "env": {"A=B": "c"}}]},
        {"stdio_servers": [{"name": "x", "command": "y", "env": {"": "c"}}]},
        {"stdio_servers": [{"name": "x", "command": "y", "env": {"A": "x" * 20_000}}]},
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        merge({"mcp_config": wrong})
    assert refused.value.field.startswith("mcp_config")
