"""What the V0 client's cost dialog reads stands on actions that it is sent."""

from tests.support.running_server import Server
from tests.support.server_clients import Clients

SCRIPT = """\
name: several
replies:
  - steps:
      - say: Two at once.
        calls:
          - {call: execute_bash, with: {command: echo one}}
          - {call: execute_bash, with: {command: echo two}}
      - {say: Let me think., call: think, with: {thought: hm}}
      - say: Done.
"""


async def test_every_reply_tells_its_cost_and_its_words(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create("go", llm_model=server.script("several", SCRIPT))
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    done = [event for event in client.events if event["source"] == "agent" and event.get("tool_call_metadata")]
    actions = [event for event in done if "action" in event]
    assert [event["args"]["thought"] for event in actions] == ["Two at once.", "", "Let me think.\nhm"]
    read = {"accumulated_cost", "max_budget_per_task", "accumulated_token_usage"}
    assert [read - event["llm_metrics"].keys() for event in actions] == [set()] * 3
    assert "tool_calls" not in {event.get("action") for event in client.events}
