"""A user's rules grade what the agent does, and say what it is asked about."""

from tests.support.running_server import Server
from tests.support.server_clients import Clients

SCRIPT = """\
name: risky
replies:
  - steps:
      - {call: execute_bash, with: {command: ls}}
      - {call: execute_bash, with: {command: rm -rf *}}
      - say: Done.
"""


async def test_only_what_is_risky_waits_for_an_answer(server: Server, clients: Clients) -> None:
    chosen = {
        "llm_model": server.script("risky", SCRIPT),
        "agent": "CodeActAgent",
        "confirmation_mode": True,
        "security_analyzer": "rules",
    }
    assert (await clients.rest.ask("POST", "/api/settings", chosen))[0] == 200
    client = clients.v0(await clients.rest.create())
    await client.connect()
    await client.say("go")
    await client.until_event(lambda event: event.get("args", {}).get("confirmation_state") == "awaiting_confirmation")
    ran = [event["args"] for event in client.events if event.get("action") == "run"]
    assert [(run["command"], run["security_risk"], run["confirmation_state"]) for run in ran] == [
        ("ls", 0, "confirmed"),
        ("rm -rf *", 2, "awaiting_confirmation"),
    ]
    status, answer = await clients.rest.ask("POST", "/api/settings", {"security_analyzer": "oracle"})
    assert (status, answer["field"]) == (422, "security_analyzer")
