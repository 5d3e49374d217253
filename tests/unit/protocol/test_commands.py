"""Commands: what one side writes, the other reads."""

import pytest

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import EventId
from openhands_sessions.protocol.commands import command_of, command_wire

COMMANDS: list[Command] = [
    SendMessage(content="hello"),
    SendMessage(
        content="", image_urls=("data:image/png;base64,iVBORw0KGgo=",), file_urls=("/workspace/a", "/workspace/b")
    ),
    Stop(),
    Pause(),
    Resume(),
    Answer(confirmed=True),
    Answer(confirmed=False, action=EventId(0)),
    Answer(confirmed=True, action=EventId(7)),
]


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    assert command_of(command_wire(command, "mine")) == (command, "mine")


def test_keys_of_a_client_are_ignored_in_a_message() -> None:
    args = {"content": "hello", "timestamp": "2026-01-01", "image_urls": None}
    assert command_of({"action": "message", "args": args, "own": 1}) == (SendMessage(content="hello"), None)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "the command"),
        ({}, "action"),
        ({"action": "run", "args": {}}, "action"),
        ({"action": "message"}, "args"),
        ({"action": "message", "args": {"content": 1}}, "args.content"),
        ({"action": "message", "args": {"content": "", "image_urls": ["a"] * 33}}, "args.image_urls"),
        ({"action": "message", "args": {"content": ""}, "key": ""}, "key"),
        ({"action": "change_agent_state", "args": {"agent_state": "sleeping"}}, "args.agent_state"),
        ({"action": "change_agent_state", "args": {"agent_state": "user_confirmed", "id": "7"}}, "args.id"),
    ],
)
def test_a_wrong_command_is_refused_by_its_field(data: object, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        command_of(data)
    assert caught.value.field == field
