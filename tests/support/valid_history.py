"""Whether a model's provider takes a history."""

from collections.abc import Sequence
from typing import Any

import orjson


def valid(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether a provider takes this history: each call has one result, right behind it, in order, and arguments are
    JSON objects."""
    owed: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert owed, "a result without a call"
            assert message["tool_call_id"] == owed.pop(0)
            assert isinstance(message["content"], str)
            assert message["content"]
            continue
        assert not owed, "a call without its result right behind it"
        owed = [call["id"] for call in message.get("tool_calls", [])]
        assert len(set(owed)) == len(owed)
        for call in message.get("tool_calls", []):
            assert isinstance(orjson.loads(call["function"]["arguments"]), dict)
    assert not owed, "a call without its result right behind it"
    return True
