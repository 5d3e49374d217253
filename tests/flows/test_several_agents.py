"""Conversations of a server with several agents: who is spoken to, and who speaks."""

from typing import Any

import pytest

from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running_server import Server
from tests.support.server_clients import Clients

pytestmark = pytest.mark.slow
AGENTS = {"writer": {"instructions": "Write."}, "critic": {"instructions": "Judge.", "llm_model": "openai/gpt-4o"}}
WAITS = "awaiting_user_input"


async def created(clients: Clients, model: ModelServer, **body: Any) -> str:
    settings = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
    status, made = await clients.rest.ask("POST", "/api/conversations", {"settings": settings, **body})
    assert status == 200, made
    return str(made["conversation_id"])


async def test_messages_name_their_agent_and_events_say_whose_turn_it_is(clients: Clients) -> None:
    replies = [
        Reply(calls=[Call(name="execute_bash", arguments={"command": "echo hidden"})]),
        Reply(text="Written."),
        Reply(text="Judged."),
    ]
    async with model_server(replies) as model:
        sid = await created(clients, model, agents=AGENTS)
        client, v0 = clients.protocol2(sid), clients.v0(sid)
        await client.connect()
        await v0.connect()
        await client.until_state(WAITS, within=60)
        said = await client.say("Write it")
        await client.until_state(WAITS, after=said, within=60)
        body = {"content": "Judge it", "agent": "critic"}
        status, told = await clients.rest.ask("POST", f"/api/conversations/{sid}/messages", body)
        assert status == 200, told
        await client.until_state(WAITS, after=told["id"], within=60)
        asked = [request for request in model.requests if request.body.get("tools")]
        assert [request.body["model"] for request in asked] == [MODEL, MODEL, "gpt-4o"]
        texts = [message["content"] for message in asked[-1].messages]
        assert "You are the agent critic." in texts[0]
        assert texts[0].endswith("Judge.")
        assert texts[-3:] == [
            "[To the agent 'writer']\nWrite it",
            "[The agent 'writer' answered]\nWritten.",
            "Judge it",
        ]
        assert "hidden" not in str(asked[-1].messages)
        by_turn = {event["turn"]: event["agent_name"] for event in client.events if "turn" in event}
        assert by_turn == {said: "writer", told["id"]: "critic"}
        assert all("agent_name" in event for event in client.events if "turn" in event)
        await v0.until(lambda: any(event.get("args", {}).get("content") == "Judged." for event in v0.events))
        assert not any("agent_name" in event for event in v0.events)


async def test_who_is_not_there_is_refused_and_who_waits_is_queued(clients: Clients) -> None:
    async with model_server([Reply(text="One."), Reply(text="Two.")]) as model:
        sid = await created(clients, model, agents=AGENTS)
        path = f"/api/conversations/{sid}/messages"
        status, refused = await clients.rest.ask("POST", path, {"content": "Hi", "agent": "nope"})
        assert (status, refused["code"], refused["field"]) == (422, "unknown_agent", "agent"), refused
        assert "writer, critic" in refused["msg" if "msg" in refused else "message"]
        client = clients.protocol2(sid)
        await client.connect()
        first = await client.say("One")
        status, told = await clients.rest.ask("POST", path, {"content": "Two", "agent": "critic", "mode": "queue"})
        assert status == 200, told
        await client.until(lambda: sum(event.get("observation") == "turn_ended" for event in client.events) == 2)
        by_turn = {event["turn"]: event["agent_name"] for event in client.events if "turn" in event}
        assert by_turn == {first: "writer", told["turn"]: "critic"}


async def test_a_message_cannot_steer_the_turn_of_another_agent(clients: Clients) -> None:
    async with model_server([Reply(text="A long answer.", piece=2, delay=0.3)]) as model:
        sid = await created(clients, model, agents=AGENTS)
        path = f"/api/conversations/{sid}/messages"
        await clients.rest.ask("POST", path, {"content": "One"})
        status, refused = await clients.rest.ask("POST", path, {"content": "Two", "agent": "critic"})
        assert (status, refused["code"]) == (409, "not_accepting"), refused


async def test_several_agents_go_on_after_a_kill_each_with_its_own_turn(server: Server, clients: Clients) -> None:
    replies = [Reply(calls=[Call(name="execute_bash", arguments={"command": "sleep 2; echo slept"})]), Reply(text="B.")]
    async with model_server(replies) as model:
        sid = await created(clients, model, agents=AGENTS)
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state(WAITS, within=60)
        path = f"/api/conversations/{sid}/messages"
        _, told = await clients.rest.ask("POST", path, {"content": "Judge", "agent": "critic"})
        await client.until(lambda: any(event.get("action") == "run" for event in client.events))
        await server.killed()
        await server.start()
        again = clients.protocol2(sid)
        await again.connect()
        await again.until_state(WAITS, after=told["id"], within=60)
        answers = [event for event in again.events if event.get("args", {}).get("content") == "B."]
        assert [event["agent_name"] for event in answers] == ["critic"]


@pytest.mark.parametrize(
    ("agents", "field"),
    [
        ({"no name": {}}, "agents"),
        ({"a": {"instruction": "x"}}, "agents.a.instruction"),
        ({"a": "x"}, "agents.a"),
        ({"a": {"handoffs": ["nobody"]}}, "agents"),
        ({"a": {"handoffs": ["a"]}}, "agents"),
        ({f"a{number}": {} for number in range(17)}, "agents"),
    ],
)
async def test_agents_that_cannot_be_make_no_conversation(clients: Clients, agents: Any, field: str) -> None:
    status, told = await clients.rest.ask("POST", "/api/conversations", {"agents": agents})
    assert (status, told["code"]) == (422, "bad_input"), told
    assert told["field"].startswith(field)


async def test_an_agent_hands_over_after_a_kill_too_and_v0_clients_see_it_delegate(
    server: Server, clients: Clients
) -> None:
    agents = {"front": {"handoffs": ["back"]}, "back": {"instructions": "Work."}}
    calls = [
        Call(name="transfer_to_back", arguments={"task": "Sleep."}),
        Call(name="execute_bash", arguments={"command": "sleep 2; echo slept"}),
    ]
    async with model_server([Reply(calls=calls), Reply(text="Done.")]) as model:
        sid = await created(clients, model, agents=agents)
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state(WAITS, within=60)
        said = await client.say("Work")
        await client.until(lambda: any(event.get("action") == "run" for event in client.events))
        await server.killed()
        await server.start()
        again, v0 = clients.protocol2(sid), clients.v0(sid)
        await again.connect()
        await v0.connect()
        await again.until_state(WAITS, after=said, within=60)
        [answer] = [event for event in again.events if event.get("args", {}).get("content") == "Done."]
        assert (answer["agent_name"], answer["turn"]) == ("back", said)
        [ran] = [event for event in again.events if event.get("observation") == "run"]
        assert ran["agent_name"] == "front"
        await v0.until(lambda: any(event.get("args", {}).get("content") == "Done." for event in v0.events))
        kinds = [event.get("action") or event.get("observation") for event in v0.events]
        assert kinds.count("delegate") == 2
        assert "handed_over" not in kinds
