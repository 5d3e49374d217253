"""What operators see of sessions: every change, in order."""

from tests.support.event_summaries import state_of
from tests.support.running_server import Server
from tests.support.server_clients import Clients

SET_UP = ["Created", "Initializing", "RuntimeSetup", "AgentSetup", "MemorySetup", "ControllerSetup", "Ready"]
# Messages that nothing was answered to count as one with the next: the last comes first.
CHANGING = """\
name: changing
replies:
  - when: fifth
    steps: [{call: finish, with: {message: "That is all."}}]
  - when: fourth
    steps: [{fail: {status: 429}}]
  - when: third
    steps: [{fail: {status: 400}}]
  - when: first
    steps:
      - {call: execute_bash, with: {command: echo one}}
      - {call: execute_bash, with: {command: echo two}}
      - {say: "One and two."}
  - when: second
    steps:
      - {call: execute_bash, with: {command: echo never}}
      - {say: "Not that."}
"""


async def test_all_clients_see_the_same_and_an_operator_sees_every_change(server: Server, clients: Clients) -> None:
    operator = clients.operator()
    await operator.connect()
    model = server.script("changing", CHANGING)
    sid = await clients.rest.create(llm_model=model, confirmation_mode=True, llm_retries=0)
    one, other = clients.protocol2(sid), clients.protocol2(sid)
    await one.connect()
    await other.connect()
    said = await one.say("first")
    for _ in range(2):
        await one.until_state("awaiting_user_confirmation", after=said)
        said = await other.order("user_confirmed")
    await one.until_state("awaiting_user_input", after=said)
    said = await other.say("second")
    await one.until_state("awaiting_user_confirmation", after=said)
    said = await one.order("user_rejected")
    await one.until_state("awaiting_user_input", after=said)
    for text, state in (("third", "error"), ("fourth", "rate_limited"), ("fifth", "finished")):
        said = await one.say(text)
        await one.until_state(state, after=said)
    await one.order("paused")
    said = await one.order("running")
    await one.until_state("awaiting_user_input", after=said)
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    await operator.until(lambda: operator.states_of(sid)[-1:] == ["Closed"])

    log = await clients.rest.events(sid)
    assert one.events == other.events == log
    assert one.faults == other.faults == []
    turns = ["Running", "Ready"]
    states = operator.states_of(sid)
    assert states[: len(SET_UP)] == SET_UP
    assert states[-2:] == ["Closing", "Closed"]
    assert states[len(SET_UP) : -2] == turns * ((len(states) - len(SET_UP) - 2) // 2)
    told = {(change["head"], change["agent_state"]) for change in operator.changes}
    assert [event["id"] for event in log if state_of(event) and (event["id"], state_of(event)) not in told] == []
    numbers = [change["number"] for change in operator.changes]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {"user_rejected", "user_confirmed", "rate_limited", "error", "paused"} <= {state_of(event) for event in log}
