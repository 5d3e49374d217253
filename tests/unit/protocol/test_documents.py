"""The documents that the server makes of itself: complete, sound, and true of recorded traffic."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from openhands_sessions.core.events.actions import ACTIONS
from openhands_sessions.core.events.observations import OBSERVATIONS
from openhands_sessions.protocol.asyncapi import socket_schema
from openhands_sessions.protocol.openapi import openapi
from openhands_sessions.protocol.routes import ROUTES
from openhands_sessions.server.app import HANDLERS

GOLDEN = Path(__file__).parents[2] / "golden"
TRAFFIC = sorted((GOLDEN / "traffic").glob("*.jsonl"))
EVENTS = [
    json.loads(line)
    for file in ("recorded_events.jsonl", "written_events.jsonl")
    for line in (GOLDEN / file).read_text().splitlines()
]
ASKED = """
GET:/api/options/config GET:/api/options/models GET:/api/options/agents GET:/api/options/security-analyzers
GET:/api/settings POST:/api/settings POST:/api/reset-settings
GET:/api/secrets POST:/api/secrets PUT:/api/secrets/{name} DELETE:/api/secrets/{name}
GET:/api/conversations POST:/api/conversations GET:/api/microagent-management/conversations
GET:/api/conversations/{conversation_id} PATCH:/api/conversations/{conversation_id}
DELETE:/api/conversations/{conversation_id} POST:/api/conversations/{conversation_id}/start
POST:/api/conversations/{conversation_id}/stop GET:/api/conversations/{conversation_id}/trajectory
GET:/api/conversations/{conversation_id}/events POST:/api/conversations/{conversation_id}/events
POST:/api/conversations/{conversation_id}/message GET:/api/conversations/{conversation_id}/config
GET:/api/conversations/{conversation_id}/vscode-url GET:/api/conversations/{conversation_id}/web-hosts
GET:/api/conversations/{conversation_id}/git/changes GET:/api/conversations/{conversation_id}/git/diff
GET:/api/conversations/{conversation_id}/list-files GET:/api/conversations/{conversation_id}/select-file
POST:/api/conversations/{conversation_id}/upload-files GET:/api/conversations/{conversation_id}/zip-directory
GET:/api/conversations/{conversation_id}/microagents GET:/api/conversations/{conversation_id}/remember-prompt
POST:/api/conversations/{conversation_id}/submit-feedback POST:/api/conversations/{conversation_id}/exp-config
POST:/api/add-git-providers POST:/api/unset-provider-tokens GET:/api/user/info GET:/api/user/repositories
GET:/api/user/search/repositories GET:/api/user/search/branches GET:/api/user/repository/branches
GET:/api/user/installations GET:/api/user/suggested-tasks GET:/api/user/repository/{name}/microagents
GET:/api/user/repository/{name}/microagents/content GET:/alive GET:/health GET:/server_info
"""


@pytest.fixture(scope="module")
def socket() -> dict[str, Any]:
    return socket_schema("1")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi("1")


def test_every_route_has_one_handler_and_every_handler_a_route() -> None:
    assert set(HANDLERS) == set(ROUTES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_every_route_that_the_web_client_asks_is_there() -> None:
    described = {(route.method, route.path) for route in ROUTES}
    asked = [(method, path) for line in ASKED.split() for method, _, path in (line.partition(":"),)]
    assert len(asked) > 40
    assert [each for each in asked if each not in described] == []


def test_every_reference_leads_somewhere(document: dict[str, Any], socket: dict[str, Any]) -> None:
    for whole in (document, socket):
        for reference in _references(whole):
            found = whole
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]


def test_every_schema_is_one(document: dict[str, Any], socket: dict[str, Any]) -> None:
    for schema in (*document["components"]["schemas"].values(), socket, *socket["$defs"].values()):
        assert jsonschema_rs.meta.is_valid(schema)


@pytest.mark.parametrize(
    ("name", "sender", "payload"),
    [
        ("oh_user_action", "client", {"action": "message", "args": {"content": "hello"}}),
        ("acknowledgement", "server", {"ok": True, "id": 3}),
        ("refusal", "server", {"message": "no", "data": {"code": "not_found"}}),
        ("auth", "client", {"protocol": 2, "conversation_id": "a" * 32}),
        ("ended", "server", {"reason": "stopped"}),
    ],
)
def test_a_message_over_the_socket_is_one_of_the_schema(
    name: str, sender: str, payload: dict[str, Any], socket: dict[str, Any]
) -> None:
    message = {"name": name, "channel": "/", "sender": sender, "payload": payload}
    assert jsonschema_rs.is_valid(socket, message)
    assert not jsonschema_rs.is_valid(socket, {**message, "name": "hello"})
    assert not jsonschema_rs.is_valid(socket, {**message, "payload": []})
    assert not jsonschema_rs.is_valid(socket, payload)


def test_names_of_operations_are_distinct(document: dict[str, Any]) -> None:
    names = [about["operationId"] for methods in document["paths"].values() for about in methods.values()]
    assert len(names) == len(set(names)) == len(ROUTES)
    assert all(re.fullmatch(r"[a-z_0-9]+", name) for name in names)


def test_every_kind_of_event_has_a_schema(socket: dict[str, Any]) -> None:
    kinds = [*ACTIONS.values(), *OBSERVATIONS.values()]
    assert {kind.__name__ for kind in kinds} <= socket["$defs"].keys()
    assert len(socket["$defs"]["Event"]["anyOf"]) == len(kinds)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.get("action", event.get("observation"))))
def test_recorded_events_are_as_the_schema_says(event: dict[str, Any], socket: dict[str, Any]) -> None:
    jsonschema_rs.validate(_schema_of(event, socket), event)


@pytest.mark.parametrize("file", TRAFFIC, ids=lambda file: str(file.stem))
def test_recorded_packets_are_as_the_schema_says(file: Path, socket: dict[str, Any]) -> None:
    lines = map(json.loads, file.read_text().splitlines())
    packets = [line["in"] for line in lines if "in" in line]
    assert packets or file.stem == "08_rest"
    for packet in packets:
        jsonschema_rs.validate(_schema_of(packet, socket), packet)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": -1},
        {"id": "1"},
        {"source": "nobody"},
        {"args": []},
        {"args": {"command": 1}},
        {"args": {}},
        {"action": "walk"},
        {"message": None},
    ],
)
def test_what_is_no_event_is_refused(wrong: dict[str, Any], socket: dict[str, Any]) -> None:
    event = {"id": 1, "timestamp": "", "source": "agent", "message": "", "action": "run", "args": {"command": "ls"}}
    schema = {"$ref": "#/$defs/RunAction", "$defs": socket["$defs"]}
    assert jsonschema_rs.is_valid(schema, event)
    assert not jsonschema_rs.is_valid(schema, {**event, **wrong})


def _schema_of(packet: dict[str, Any], socket: dict[str, Any]) -> dict[str, Any]:
    match packet:
        case {"action": name}:
            kind = ACTIONS[name].__name__
        case {"observation": name}:
            kind = OBSERVATIONS[name].__name__
        case {"error": True}:
            # Ours has a code besides (rule 8 of the wire).
            return {**socket["$defs"]["BareError"], "required": ["error", "message"]}
        case _:
            kind = "StatusUpdate"
    return {"$ref": f"#/$defs/{kind}", "$defs": socket["$defs"]}


def _references(value: object) -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                if key == "$ref" and isinstance(item, str):
                    yield item
                else:
                    yield from _references(item)
        case list():
            for item in value:
                yield from _references(item)
