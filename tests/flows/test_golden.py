"""The client's side of recorded traffic, played against our server: the same kinds in the same order with the same
fields, but for what the protocol's rules change:

1. each event once and in the order of ids, where the reference sends some twice and the newest state last;
2. recall actions and states from before the connection are not sent;
4. an action that is restated after an answer names the one that was asked about (`cause`);
5. a stop ends the model's call and the command, and nothing of the old turn comes behind the state. The reference still
   takes the call, says that it was not executed, and sends its result seconds later. What a pause has ended is asked
   for again when the user has the agent go on, where the reference waits for a message.
"""

from collections.abc import Callable, Sequence

import pytest

from tests.support.event_summaries import Event, state_of
from tests.support.recorded_traffic import Recording, outline, told
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_clients import V0Client

SHORTER = {"sleep 1; echo SLOW-MARK-10": "sleep 60; echo SLOW-MARK-10", "sleep 1; ": "sleep 0.1; "}
"""The waits of the recorded commands, but for the one that a stop ends."""
NEVER = 3600.0
LONG_ENOUGH = 5.0
"""For a pause to come first, also on a busy machine; the reply is waited for after it."""


@pytest.mark.parametrize(
    "name", ["01_new_message_commands_finish", "02_initial_user_msg_edit_tools", "03_confirmation_mode"]
)
async def test_recorded_traffic_comes_again(server: Server, clients: Clients, name: str) -> None:
    recording = Recording.read(name)
    model = server.script("recorded", recording.script())
    confirm = name.startswith("03")
    sid = await clients.rest.create(recording.first_message, llm_model=model, confirmation_mode=confirm)
    client = clients.v0(sid)
    await client.connect()
    after = -1
    for state, command in recording.commands():
        await client.until_state(state, after=after)
        after = client.last
        await client.send(dict(command))
    await client.until_state(_last_state(recording.events), after=after)
    assert outline(client.events) == outline(told(recording.events, client.events))


async def test_recorded_stops_and_resumes_come_again(server: Server, clients: Clients) -> None:
    recording = Recording.read("04_stop_and_resume", SHORTER)
    slow = {_slow(2): NEVER, _slow(4): LONG_ENOUGH, _slow(6): NEVER}
    model = server.script("recorded", recording.script(slow))
    client = clients.v0(await clients.rest.create(recording.first_message, llm_model=model))
    await client.connect()
    moments = [_ran(1), _come_to("stopped"), _ran(3), _come_to("paused"), _come_to("running"), _ran(5)]
    after = -1
    for moment, command in zip(moments, recording.sent, strict=True):
        await client.until_event(moment, after=after)
        after = client.last
        await client.send(dict(command))
    await client.until_state("stopped", after=after)
    kept = [event for event in recording.events if event["id"] not in (10, 11, 13, 32, 33, 35)]  # rule 5: a stop
    expected = _moved(kept, (21, 23), behind=26)  # rule 5: a pause
    assert outline(client.events) == outline(told(expected, client.events))


async def test_recorded_reconnects_come_again(server: Server, clients: Clients) -> None:
    recording = Recording.read("05_reconnect_latest_event_id", SHORTER)
    model = server.script("recorded", recording.script())
    sid = await clients.rest.create(recording.first_message, llm_model=model)
    first, second, third, witness = clients.v0(sid), clients.v0(sid), clients.v0(sid), clients.protocol2(sid)
    await first.connect()
    await witness.connect()
    await first.until_event(_ran(2))
    await first.vanish()
    await witness.until_event(_ran(4))
    await second.connect(latest_event_id=_of(first, _ran(2)))
    await second.until_event(_ran(6))
    await third.connect()
    await third.until_event(lambda event: _runs(event, "action", 10))
    await third.leave()
    await second.send(dict(recording.sent[0]))
    await second.until_state("stopped")
    known = _of(first, _ran(2))
    found = [event for event in first.events if event["id"] <= known]
    assert outline(found) == outline(told(recording.of("A").events, found))
    assert outline(third.events) == outline(recording.of("C").events)
    ended = [event for event in recording.of("B").events if event["id"] != 27]  # rule 5: one observation,
    expected = outline(_moved(ended, (29,), behind=26))  # which comes before the state
    expected[-2] |= {"success": False, "exit_code": second.events[-2]["extras"]["metadata"]["exit_code"]}
    assert outline(second.events) == expected
    assert "stopped" in second.events[-2]["content"] + second.events[-2]["extras"]["metadata"]["suffix"]


def _last_state(events: Sequence[Event]) -> str:
    return [state for event in events if (state := state_of(event))][-1]


def _slow(number: int) -> str:
    return f"sleep 0.1; echo SLOW-MARK-{number}"


def _runs(event: Event, family: str, number: int) -> bool:
    body = event.get("args") or event.get("extras") or {}
    return event.get(family) == "run" and str(body["command"]).endswith(f"SLOW-MARK-{number}")


def _ran(number: int) -> Callable[[Event], bool]:
    return lambda event: _runs(event, "observation", number)


def _come_to(state: str) -> Callable[[Event], bool]:
    return lambda event: state_of(event) == state


def _of(client: V0Client, fits: Callable[[Event], bool]) -> int:
    """The id of the first event that fits."""
    found: int = next(event["id"] for event in client.events if fits(event))
    return found


def _moved(events: Sequence[Event], ids: Sequence[int], *, behind: int) -> list[Event]:
    """The events, with some of them put behind another."""
    moved = [event for event in events if event["id"] in ids]
    rest = [event for event in events if event["id"] not in ids]
    place = next(place for place, event in enumerate(rest) if event["id"] == behind)
    return [*rest[: place + 1], *moved, *rest[place + 1 :]]
