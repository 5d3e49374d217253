"""Short words for the events of a log, for comparisons and for the messages of failed tests."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openhands_sessions.core.ids import ConversationId, folder_name

Event = dict[str, Any]
"""A stored event, as it came over the wire."""

LONG_TEXT = 1_000
"""Characters from which on equal texts are kept once."""


def kind_of(event: Event) -> str:
    return f"action:{event['action']}" if "action" in event else f"observation:{event['observation']}"


def state_of(event: Event) -> str | None:
    """The agent state that an event tells of, if any."""
    return event["extras"]["agent_state"] if event.get("observation") == "agent_state_changed" else None


def shared(event: Event) -> Event:
    """The event with its long texts interned, so that many copies of a log take the memory of one."""
    for name, value in event.items():
        if isinstance(value, str) and len(value) > LONG_TEXT:
            event[name] = sys.intern(value)
        elif isinstance(value, dict):
            shared(value)
    return event


def shown(events: Sequence[Event]) -> list[str]:
    """Events in few words, for messages of failed tests."""
    return [f"{event['id']} {kind_of(event)} {str(event.get('message'))[:60]!r}" for event in events]


ENDLESS = "sleep 100"
"""In the command that only a stop ends."""


def check_actions(log: Sequence[Event], workspace: Path, sid: str) -> None:
    """Every action has one result, no command ran twice, and all ran in one shell. Each has written its action's id to
    the file `ran`, and its shell's to `shells`."""
    answers = Counter(event["cause"] for event in log if "observation" in event and "cause" in event)
    actions = [
        event
        for event in log
        if event.get("action") in ("run", "edit", "read") and confirmation_of(event) != "awaiting_confirmation"
    ]
    assert [event["id"] for event in actions if answers[event["id"]] != 1] == []
    ran, shells = _words(workspace / "ran"), _words(workspace / "shells")
    keys = {
        f"{folder_name(ConversationId(sid))}-{event['id']}": event for event in actions if "ran" in command_of(event)
    }
    assert len(set(ran)) == len(ran), "a command ran twice"
    assert set(ran) <= keys.keys()
    assert all(ENDLESS in command_of(keys[key]) for key in keys.keys() - set(ran))
    assert len(set(shells)) <= 1


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def turn_is_owed(log: Sequence[Event]) -> bool:
    """Whether the agent has something to take up, or to end, without anybody's help."""
    begun = max((event["id"] for event in log if _begins(event)), default=-1)
    ended = max((event["id"] for event in log if kind_of(event) == "observation:turn_ended"), default=-1)
    if begun < ended or begun < 0:
        return False
    return not (log[begun].get("action") == "message" and log[begun]["args"]["content"] == "third")


def _begins(event: Event) -> bool:
    if event["source"] != "user":
        return False
    return event.get("action") in ("message", "change_agent_state")


def outline(log: Sequence[Event]) -> list[str]:
    """What happened, without states, and without what a restart adds: it may repeat the call of a model."""
    return [line for event in log if (line := _line(event))]


def _line(event: Event) -> str:
    kind = kind_of(event)
    args: dict[str, Any] = event.get("args") or {}
    if state_of(event) or kind in ("observation:turn_resumed", "observation:model_called"):
        return ""
    match kind:
        case "action:change_agent_state":
            return "" if event["source"] == "environment" else f"{kind} {args['agent_state']}"
        case "action:message":
            return f"{kind} {event['source']} {args['content']}"
        case "action:run" | "action:edit":
            return f"{kind} {confirmation_of(event)} {args.get('command')}"
        case "observation:run" | "observation:error" if ENDLESS in str(event) or "Not run" in str(event):
            return "stopped"
        case "observation:run":
            return f"{kind} {event['extras']['metadata']['exit_code']} {event['content']}"
        case "observation:turn_ended":
            return f"{kind} {event['extras']['stop_reason']}"
        case _:
            return kind


def command_of(event: Event) -> str:
    return str((event.get("args") or {}).get("command", "")) if event.get("action") == "run" else ""


def confirmation_of(event: Event) -> str:
    return str((event.get("args") or {}).get("confirmation_state", ""))
