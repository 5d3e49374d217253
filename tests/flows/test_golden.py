"""The client's side of recorded traffic, played against our server: the same kinds in the same order with the same
fields, but for what the protocol's rules change:

1. each event once and in the order of ids, where the reference sends some twice and the newest state last;
2. recall actions and states from before the connection are not sent;
4. an action that is restated after an answer names the one that was asked about (`cause`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.guests import Guests
from tests.support.recording import Recording
from tests.support.running import Server
from tests.support.seen import Event, state_of

SAID = ("command", "path", "thought", "final_thought", "agent_state", "confirmation_state", "is_input", "hidden")
"""Fields whose values are facts and not prose, where the reference and we run the same commands."""
LEFT_OUT = {"timeout", "llm_metrics"}
"""`timeout` the reference sends now and then; what a model used is counted where it was asked."""


@pytest.mark.parametrize(
    "name", ["01_new_message_commands_finish", "02_initial_user_msg_edit_tools", "03_confirmation_mode"]
)
async def test_recorded_traffic_comes_again(server: Server, guests: Guests, name: str) -> None:
    recording = Recording.read(name)
    model = server.script("recorded", recording.script())
    confirm = name.startswith("03")
    sid = await guests.rest.create(recording.first_message, llm_model=model, confirmation_mode=confirm)
    client = guests.v0(sid)
    await client.connect()
    after = -1
    for state, command in recording.commands():
        await client.until_state(state, after=after)
        after = client.last
        await client.send(dict(command))
    await client.until_state(_last_state(recording.events), after=after)
    assert outline(client.events) == outline(recording.events)


def _last_state(events: Sequence[Event]) -> str:
    return [state for event in events if (state := state_of(event))][-1]


def outline(events: Sequence[Event]) -> list[Any]:
    """Each event without what differs from run to run: ids become places, times and prose are left out."""
    kept = [event for event in events if not _spared(event)]
    places = {event["id"]: place for place, event in enumerate(kept)}
    return [_line(event, places) for event in kept]


def _spared(event: Event) -> bool:
    """Rule 2: recall actions are not sent, nor states from before the connection."""
    return event.get("action") == "recall" or state_of(event) == "loading"


def _line(event: Event, places: Mapping[int, int]) -> dict[str, Any]:
    body: Mapping[str, Any] = event.get("args") or event.get("extras") or {}
    return {
        "kind": event.get("action") or event.get("observation"),
        "source": "agent" if event["source"] == "environment" else event["source"],  # rule 1: sent as it is stored
        "cause": None if "action" in event else places.get(event.get("cause", -1)),
        "keys": sorted(event.keys() - LEFT_OUT - ({"cause"} if "action" in event else set())),  # rule 4
        "fields": sorted(body),
        "said": {name: body[name] for name in SAID if name in body},
        "call": event.get("tool_call_metadata", {}).get("function_name"),
        "success": event.get("success"),
        "exit_code": body.get("metadata", {}).get("exit_code"),
    }
