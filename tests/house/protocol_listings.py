"""What goes over the socket, listed from its own schema for the docs; and the ids that messages are known by."""

from collections.abc import Iterator, Mapping
from typing import Any

from openhands_sessions.protocol.asyncapi import socket_schema
from openhands_sessions.protocol.statuses import ERROR_IDS, MESSAGE_IDS, OWN_STATUSES, V0_STATUSES

NAMED_ELSEWHERE = {"Event": "a stored [event](events.md)"}
DOCUMENT = socket_schema("")


def messages() -> str:
    """What the server says: to clients, to operators, and in answer."""
    answers = {name: DOCUMENT[name] for name in ("refusal", "acknowledgement")}
    rows = [*_rows(DOCUMENT["server"]), *_rows(DOCUMENT["operators"], "`/operator`: "), *_rows(answers)]
    return "\n".join(["| event | what it is | fields |", "|---|---|---|", *rows])


def sayings() -> str:
    """What a client says: in its `auth` payload, and as a command."""
    said = {"auth": DOCUMENT["auth"], "oh_user_action": DOCUMENT["client"]["oh_user_action"]}
    return "\n".join(["| event | what it is | fields |", "|---|---|---|", *_rows(said)])


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


def _rows(events: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for name, schema in events.items():
        many = "an array: " if schema.get("type") == "array" else ""
        ways = schema.get("items", schema)["anyOf"]
        for way in ways:
            model = way["$ref"].rpartition("/")[2]
            if model in NAMED_ELSEWHERE:
                yield f"| {place}`{name}` | {many}{NAMED_ELSEWHERE[model]} | |"
                continue
            described = DOCUMENT["$defs"][model]
            fields = ", ".join(f"`{field}`" for field in described["properties"])
            said = " ".join(described["description"].split())
            yield f"| {place}`{name}` | {many}{said} | {fields} |"
