"""Stops at any moment of a turn: whatever was under way, it ends, is accounted for, and the next message works."""

import asyncio
from random import Random

import pytest

from tests.support.event_summaries import Event, confirmation_of, kind_of, state_of
from tests.support.processes import ended
from tests.support.running_server import Server, processes_of
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients

# A message that was stopped before it was answered counts as one with the next: that one's entry comes first.
SCRIPT = """\
name: turns
replies:
  - when: check
    steps:
      - {call: execute_bash, with: {command: "echo alive"}}
      - {say: "Checked."}
  - when: work
    steps:
      - {say: "I say something at some length first.", delay: 0.01, piece: 4, call: execute_bash,
         with: {command: "echo $OHS_ACTION_ID >> ran; echo a"}}
      - {call: str_replace_editor, with: {command: create, path: "file", file_text: "x"}}
      - calls:
          - {call: execute_bash, with: {command: "echo $OHS_ACTION_ID >> ran; sleep 0.1; echo b"}}
          - {call: execute_bash, with: {command: "echo $OHS_ACTION_ID >> ran; (sleep 0.2; echo c) | cat"}}
      - {call: execute_bash, with: {command: "echo $OHS_ACTION_ID >> ran; sleep 0.1 & wait; echo d"}}
      - {say: "Done, and said at some length as well.", delay: 0.01, piece: 4}
"""
TURN = 1.0
"""About how many seconds the turn takes."""
ENDS = ("stopped", "awaiting_user_input")


@pytest.mark.parametrize("times", [12, pytest.param(100, marks=(pytest.mark.long, pytest.mark.timeout(300)))])
async def test_a_stop_at_any_moment_leaves_nothing_open(server: Server, clients: Clients, times: int) -> None:
    rng = Random(printed_seed())
    model = server.script("turns", SCRIPT)
    sid = await clients.rest.create(llm_model=model)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    stopped_early = 0
    for _ in range(times):
        said = await client.say("work")
        moment = rng.uniform(0, TURN)
        turn = asyncio.create_task(client.until_state("awaiting_user_input", after=said))
        await asyncio.wait([turn], timeout=moment)
        stopped_early += not turn.done()
        turn.cancel()
        await asyncio.wait([turn])
        echo = await client.order("stopped")
        stopped = await client.until_state("stopped", after=echo, within=20.0)
        check = await client.say("check")
        assert [kind_of(event) for event in client.events if stopped["id"] < event["id"] < check] == []
        checked = await client.until_event(lambda event: event.get("observation") == "run", after=check)
        assert checked["content"].strip() == "alive"
        await client.until_state("awaiting_user_input", after=check)
    log = await clients.rest.events(sid)
    assert client.events == log
    assert client.faults == []
    assert stopped_early > 0  # how many turns are over before their stop hangs on the machine
    _check(server, sid, log)
    await _nothing_runs(server, sid)


def _check(server: Server, sid: str, log: list[Event]) -> None:
    answers = [event["cause"] for event in log if "observation" in event and event.get("cause") is not None]
    actions = [event["id"] for event in log if event.get("action") in ("run", "edit") and confirmation_of(event)]
    assert [action for action in actions if answers.count(action) != 1] == []
    ran = (server.workspace(sid) / "ran").read_text().split()
    assert len(set(ran)) == len(ran)
    assert {state_of(event) for event in log if state_of(event)} <= {"loading", "running", *ENDS}


async def _nothing_runs(server: Server, sid: str) -> None:
    """Only the shell is left in the workspace."""
    left = [seen for seen in processes_of(server.workspace(sid)) if seen.command.split()[0] in ("sleep", "cat")]
    async with asyncio.timeout(20):
        for seen in left:
            await ended(seen.pid)
