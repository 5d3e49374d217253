"""The AsyncAPI document: by the rules of AsyncAPI 3, complete, and true of recorded traffic."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.protocol.asyncapi import asyncapi
from openhands_sessions.protocol.commands import command_of, command_wire
from openhands_sessions.protocol.errors import Acknowledgement, Refusal
from openhands_sessions.protocol.socket_messages import SOCKET_EVENTS
from tests.unit.protocol.test_commands import COMMANDS
from tests.unit.protocol.test_errors import ERRORS

TRAFFIC = sorted((Path(__file__).parents[2] / "golden" / "traffic").glob("0[1-7]*.jsonl"))
ROOT = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
KEY = re.compile(r"[a-zA-Z0-9.\-_]+")
DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(asyncapi("1.2.3")))
    return made


def test_it_says_what_it_is(document: dict[str, Any]) -> None:
    assert document.keys() <= ROOT
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["title"]
    assert document["info"]["version"] == "1.2.3"
    for server in document["servers"].values():
        assert server["protocol"] == "ws"
        assert set(re.findall(r"{(\w+)}", server["host"])) == server["variables"].keys()


def test_keys_and_references_are_sound(document: dict[str, Any]) -> None:
    named = [document[part] for part in ("channels", "operations")] + list(document["components"].values())
    assert [key for part in named for key in part if not KEY.fullmatch(key)] == []
    found = [*references(document)]
    assert len(found) > 100
    for reference in found:
        assert resolved(document, reference) is not None


def test_channels_hold_messages_with_a_payload(document: dict[str, Any]) -> None:
    assert {channel["address"] for channel in document["channels"].values()} == {"/", "/operator"}
    for channel in document["channels"].values():
        for reference in channel["messages"].values():
            message = resolved(document, reference["$ref"])
            assert message["name"]
            assert message["summary"]
            assert jsonschema_rs.meta.is_valid({**message["payload"], **DRAFT_7})


def test_schemas_are_of_the_draft_that_the_standard_takes(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({**schema, **DRAFT_7})


def test_operations_name_messages_of_their_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        assert operation.keys() <= {"action", "channel", "messages", "reply"}
        assert operation["action"] in ("send", "receive")
        for part in (operation, operation.get("reply", operation)):
            place = part["channel"]["$ref"] + "/messages/"
            assert part["messages"]
            assert all(message["$ref"].startswith(place) for message in part["messages"])


def test_every_event_of_the_socket_is_an_operation(document: dict[str, Any]) -> None:
    actions = {name.partition(".")[2]: each["action"] for name, each in document["operations"].items()}
    expected = {event.name: {"server": "send", "client": "receive"}[event.sender] for event in SOCKET_EVENTS}
    assert actions == {**expected, "auth": "receive"}
    used = {each["$ref"] for part in document["operations"].values() for each in part["messages"]}
    used |= {each["$ref"] for part in document["operations"].values() for each in part.get("reply", part)["messages"]}
    held = {
        f"#/channels/{key}/messages/{name}" for key, each in document["channels"].items() for name in each["messages"]
    }
    assert used == held


@pytest.mark.parametrize("file", TRAFFIC, ids=lambda file: str(file.stem))
def test_recorded_traffic_is_as_its_messages_say(file: Path, document: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    sent = [line["in"] for line in lines if "in" in line]
    assert sent
    assert [packet for packet in sent if not fits(document, "oh_event", recorded(packet))] == []
    # The reference takes an image whose data is no picture; no schema says which is one.
    commands = [line["out"] for line in lines if "out" in line and "base64,AAAA" not in json.dumps(line["out"])]
    assert [packet for packet in commands if fits(document, "oh_user_action", packet) != is_taken(packet)] == []


@pytest.mark.parametrize(
    "packet", [{}, {"id": "1"}, {"status_update": True}, {"error": False, "message": "", "code": ""}]
)
def test_what_is_no_message_does_not_fit(packet: dict[str, Any], document: dict[str, Any]) -> None:
    assert not fits(document, "oh_event", packet)


def test_commands_and_their_replies_fit(document: dict[str, Any]) -> None:
    assert all(fits(document, "oh_user_action", command_wire(command, "key")) for command in COMMANDS)
    replies = [
        Acknowledgement.accepting(Accepted(EventId(7), EventId(7))),
        *(Acknowledgement.refusing(error).wire() for error in ERRORS),
    ]
    assert all(fits(document, "acknowledgement", reply) for reply in replies)
    assert all(fits(document, "refusal", Refusal.of(error).wire()) for error in ERRORS)


def is_taken(packet: object) -> bool:
    try:
        command_of(packet)
    except BadInput:
        return False
    return True


def recorded(packet: dict[str, Any]) -> dict[str, Any]:
    """The reference's errors have no code; ours do."""
    return {"code": "", **packet} if packet.get("error") else packet


def fits(document: dict[str, Any], name: str, packet: Any) -> bool:
    """Whether a packet is one of the messages of this name."""
    messages = [each for each in document["components"]["messages"].values() if each["name"] == name]
    payloads = [each["payload"] for each in messages]
    assert payloads
    return jsonschema_rs.is_valid({"anyOf": payloads, "components": document["components"]}, packet)


def references(value: object) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return resolved(document, found["$ref"]) if "$ref" in found else found
