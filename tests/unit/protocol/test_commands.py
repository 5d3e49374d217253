"""Commands: what one side writes, the other reads."""

import pytest

from openhands_sessions.core.commands import (
    Answer,
    Command,
    Decide,
    DecideCall,
    EditQueued,
    GiveFeedback,
    Pause,
    RemoveQueued,
    Resume,
    SendMessage,
    Stop,
)
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.own import FeedbackKind, RuleScope
from openhands_sessions.core.history_commands import (
    Compact,
    CreateCheckpoint,
    DeleteBranch,
    EditMessage,
    GoBack,
    Merge,
    Regenerate,
    Seed,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.protocol.commands import command_of, command_wire, history_command_of

COMMANDS: list[Command] = [
    SendMessage(content="hello"),
    SendMessage(
        content="", image_urls=("data:image/png;base64,iVBORw0KGgo=",), file_urls=("/workspace/a", "/workspace/b")
    ),
    SendMessage(content="later", mode="queue"),
    EditQueued(queued=EventId(7), content="sooner", image_urls=("https://example.org/a.png",)),
    RemoveQueued(EventId(7)),
    Stop(),
    Stop(EventId(0)),
    Pause(),
    Resume(),
    Answer(confirmed=True),
    Answer(confirmed=False, action=EventId(0)),
    Answer(confirmed=True, action=EventId(7)),
    Answer(confirmed=True, action=EventId(7), arguments='{"command":"ls"}'),
    Answer(confirmed=False, feedback="not there"),
    Undo(),
    Undo(branch="old"),
    GoBack(message=EventId(7)),
    GoBack(event=EventId(0), branch="old"),
    GoBack(checkpoint="here"),
    EditMessage(message=EventId(7), content="hi"),
    EditMessage(message=EventId(7), content="", image_urls=(), file_urls=("/workspace/a",)),
    Regenerate(),
    SwitchBranch(branch="old"),
    DeleteBranch(branch="old"),
    Merge(conversation=ConversationId("other"), branch="b", left="here"),
    Merge(branch="b"),
    CreateCheckpoint(name="here", description="all green"),
    Compact(),
    Seed(messages=({"role": "user", "content": "x"}, 7)),
    GiveFeedback(feedback=FeedbackKind.UP),
    GiveFeedback(feedback=FeedbackKind.OUTCOME_FAIL, about=EventId(7), comment="not done"),
    Answer(confirmed=True, always=RuleScope.USER),
    Decide(batch=EventId(7), version=2, rest=True),
    Decide(
        batch=EventId(7),
        version=1,
        decisions=(
            DecideCall(call=EventId(7), approved=True, arguments='{"a":1}', always=RuleScope.CONVERSATION),
            DecideCall(call=EventId(8), approved=False, feedback="no"),
        ),
        rest=False,
    ),
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
        ({"action": "change_agent_state", "args": {"agent_state": "stopped", "turn": -1}}, "args.turn"),
        ({"action": "change_agent_state", "args": {"agent_state": "paused", "turn": 7}}, "args.turn"),
        ({"action": "change_agent_state", "args": {"agent_state": "stopped", "feedback": "no"}}, "args.feedback"),
        ({"action": "change_agent_state", "args": {"agent_state": "user_rejected", "arguments": {}}}, "args.arguments"),
        (
            {"action": "change_agent_state", "args": {"agent_state": "user_confirmed", "arguments": "ls"}},
            "args.arguments",
        ),
        ({"action": "message", "args": {"content": "", "mode": "later"}}, "args.mode"),
        ({"action": "change_agent_state", "args": {"agent_state": "user_confirmed", "always": "ever"}}, "args.always"),
        ({"action": "change_agent_state", "args": {"agent_state": "user_rejected", "always": "user"}}, "args.always"),
        ({"action": "decide", "args": {"batch": 7}}, "args.version"),
        ({"action": "decide", "args": {"batch": 7, "version": 1, "rest": "maybe"}}, "args.rest"),
        (
            {"action": "decide", "args": {"batch": 7, "version": 1, "decisions": [{"event_id": 7}]}},
            "args.decisions.0.decision",
        ),
        (
            {
                "action": "decide",
                "args": {
                    "batch": 7,
                    "version": 1,
                    "decisions": [{"event_id": 7, "decision": "approve", "feedback": "no"}],
                },
            },
            "args.decisions.0.feedback",
        ),
        (
            {
                "action": "decide",
                "args": {
                    "batch": 7,
                    "version": 1,
                    "decisions": [{"event_id": 7, "decision": "reject", "always": "user"}],
                },
            },
            "args.decisions.0.always",
        ),
        ({"action": "edit_queued_message", "args": {"id": 7}}, "args.content"),
        ({"action": "remove_queued_message", "args": {"id": True}}, "args.id"),
        ({"action": "undo", "args": {"branch": 1}}, "args.branch"),
        ({"action": "undo", "args": []}, "args"),
        ({"action": "move"}, "args"),
        ({"action": "move", "args": {"event": True}}, "args.event"),
        ({"action": "edit", "args": {"message": 1}}, "args.content"),
        ({"action": "switch", "args": {"branch": "x" * 101}}, "args.branch"),
        ({"action": "checkpoint", "args": {"name": ""}}, "args.name"),
    ],
)
def test_a_wrong_command_is_refused_by_its_field(data: object, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        command_of(data)
    assert caught.value.field == field


def test_the_route_of_the_history_takes_its_own_commands_only() -> None:
    assert history_command_of({"action": "undo"}) == (Undo(), None)
    with pytest.raises(BadInput, match="undo, move, edit"):
        history_command_of({"action": "message", "args": {"content": "x"}})
