"""Secrets of MCP servers are never shown, and stay when their mask is sent back."""

from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.masking import MASK
from openhands_sessions.core.user_settings import UserSettings, changed, shown

STORED: dict[str, Any] = {
    "sse_servers": ["https://plain.example/sse", {"url": "https://a.example", "api_key": "key a"}],
    "shttp_servers": [{"url": "https://b.example", "api_key": "key b"}, {"url": "https://c.example"}],
    "stdio_servers": [{"name": "one", "command": "run", "args": ["x"], "env": {"TOKEN": "t", "EMPTY": ""}}],
}
OLD = UserSettings(mcp_config=STORED)


def test_no_secret_is_shown() -> None:
    config = shown(OLD, {})["mcp_config"]
    assert config == {
        "sse_servers": ["https://plain.example/sse", {"url": "https://a.example", "api_key": MASK}],
        "shttp_servers": [{"url": "https://b.example", "api_key": MASK}, {"url": "https://c.example"}],
        "stdio_servers": [{"name": "one", "command": "run", "args": ["x"], "env": {"TOKEN": MASK, "EMPTY": ""}}],
    }


def test_what_was_shown_can_be_sent_back() -> None:
    assert changed(OLD, {"mcp_config": shown(OLD, {})["mcp_config"]}).mcp_config == STORED


def test_a_server_is_known_by_its_address_or_name_wherever_it_stands() -> None:
    sent: Any = {
        "shttp_servers": [
            {"url": "https://new.example", "api_key": "n"},
            {"url": "https://b.example", "api_key": MASK},
        ],
        "stdio_servers": [{"name": "one", "command": "run", "env": {"TOKEN": MASK, "MORE": "m"}}],
    }
    found = changed(OLD, {"mcp_config": sent}).mcp_config
    assert found is not None
    assert found["shttp_servers"][1]["api_key"] == "key b"
    assert found["stdio_servers"][0]["env"] == {"TOKEN": "t", "MORE": "m"}


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"shttp_servers": [{"url": "https://else.example", "api_key": MASK}]}, "mcp_config.shttp_servers.0.api_key"),
        ({"sse_servers": [{"url": "https://b.example", "api_key": MASK}]}, "mcp_config.sse_servers.0.api_key"),
        ({"stdio_servers": [{"name": "one", "env": {"OTHER": MASK}}]}, "mcp_config.stdio_servers.0.env.OTHER"),
    ],
)
def test_the_mask_of_an_unknown_secret_is_refused(sent: Any, field: str) -> None:
    with pytest.raises(BadInput, match="send the secret itself") as refused:
        changed(OLD, {"mcp_config": sent})
    assert refused.value.field == field


@pytest.mark.parametrize("odd", [{}, {"sse_servers": None}, {"sse_servers": [7]}, {"stdio_servers": [{"env": 3}]}])
def test_what_is_no_server_stays_as_it_is(odd: Any) -> None:
    assert shown(UserSettings(mcp_config=odd), {})["mcp_config"] == odd


def test_secrets_whose_names_look_alike_are_kept_apart() -> None:
    stored: Any = {
        "sse_servers": [{"url": "https://a.example", "api_key": key} for key in ("first", "second")],
        "stdio_servers": [{"name": "one", "command": "run", "env": {"A.TOKEN": "long", "TOKEN": "short"}}],
    }
    old = UserSettings(mcp_config=stored)
    assert changed(old, {"mcp_config": shown(old, {})["mcp_config"]}).mcp_config == stored
