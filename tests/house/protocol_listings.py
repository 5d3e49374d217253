"""What goes over the socket, listed from its own schema for the docs; and the ids that messages are known by."""

from collections.abc import Iterator, Mapping
from typing import Any

from openhands_sessions.protocol.asyncapi import socket_schema
from openhands_sessions.protocol.statuses import ERROR_IDS, MESSAGE_IDS, OWN_STATUSES, V0_STATUSES

NAMED_ELSEWHERE = {"Event": "a stored [event](events.md)"}
DOCUMENT = socket_schema("")


def messages() -> str:
    """What the server says: to clients, to operators, and in answer."""
    return _table("server")


def sayings() -> str:
    """What a client says: in its `auth` payload, and as a command."""
    return _table("client")


def statuses() -> str:
    """Every id, with who is told."""
    parts = []
    for title, ids in (
        ("`id` of a status update, and `runtime_status`", V0_STATUSES),
        ("The same, told to protocol 2 only", OWN_STATUSES),
        ("`error_id` of an observation `error`", ERROR_IDS),
        ("`msg_id` of an answer over REST", MESSAGE_IDS),
    ):
        rows = [f"| `{name}` | {meaning} |" for name, meaning in ids.items()]
        parts += [f"## {title}", "", "| id | what it says |", "|---|---|", *rows, ""]
    return "\n".join(parts).rstrip()


def _table(sender: str) -> str:
    messages = (DOCUMENT["$defs"][each["$ref"].rpartition("/")[2]]["properties"] for each in DOCUMENT["oneOf"])
    # `oh_action` is the name that older clients have for `oh_user_action`.
    chosen = [each for each in messages if each["sender"]["const"] == sender and each["name"]["const"] != "oh_action"]
    rows = [row for message in chosen for row in _rows(message)]
    return "\n".join(["| event | what it is | fields |", "|---|---|---|", *rows])


def _rows(message: Mapping[str, Any]) -> Iterator[str]:
    name, schema = message["name"]["const"], message["payload"]
    place = "" if message["channel"]["const"] == "/" else f"`{message['channel']['const']}`: "
    many = "an array: " if schema.get("type") == "array" else ""
    items = schema.get("items", schema)
    for way in items.get("anyOf", [items]):
        model = way["$ref"].rpartition("/")[2]
        if model in NAMED_ELSEWHERE:
            yield f"| {place}`{name}` | {many}{NAMED_ELSEWHERE[model]} | |"
            continue
        described = DOCUMENT["$defs"][model]
        fields = ", ".join(f"`{field}`" for field in described["properties"])
        said = " ".join(described["description"].split())
        yield f"| {place}`{name}` | {many}{said} | {fields} |"
