"""What the dialogs of the V0 client read: the receipt of feedback, the word for a refused action, and the window in the
cost dialog."""

import json

import pytest

from tests.support.model_replies import Reply
from tests.support.model_server import model_server
from tests.support.running_server import Server
from tests.support.server_clients import Clients

ASKS = """\
name: asks
replies:
  - steps:
      - {say: First., call: execute_bash, with: {command: touch ran}}
"""


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def test_feedback_is_answered_with_the_receipt_that_the_client_shows(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    given = {"email": "a@b.c", "version": "1.0", "permissions": "private", "polarity": "negative", "trajectory": []}
    status, answer = await clients.rest.ask("POST", f"/api/conversations/{sid}/submit-feedback", given)
    assert (status, answer["statusCode"]) == (200, 200)
    message, made, password = (answer["body"][name] for name in ("message", "feedback_id", "password"))
    assert message == "Your feedback is kept on this server and sent to nobody."
    assert password == "", "nothing is published that it could open"
    [kept] = server.data_dir.glob("files/users/*/feedback/*.json")
    assert kept.stem == made
    assert json.loads(kept.read_text())["polarity"] == "negative"


async def test_a_refused_action_says_that_it_was_rejected_by_the_user(server: Server, clients: Clients) -> None:
    model = server.script("asks", ASKS)
    client = clients.v0(await clients.rest.create("go", llm_model=model, confirmation_mode=True))
    await client.connect()
    await client.until_state("awaiting_user_confirmation")
    await client.send({"action": "change_agent_state", "args": {"agent_state": "user_rejected"}})
    refused = await client.until_event(lambda event: event.get("observation") == "user_rejected")
    for shown in (refused["content"], refused["message"]):
        assert "rejected by the user" in shown


@pytest.mark.parametrize(("name", "window"), [("gpt-4o", 128_000), ("a-model-of-our-own", 0)])
async def test_the_window_of_the_model_stands_beside_what_was_used_of_it(
    clients: Clients, name: str, window: int
) -> None:
    async with model_server({"go": [Reply(text="Done.")]}) as model:
        chosen = {"llm_model": f"openai/{name}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        client = clients.v0(await clients.rest.create("please [[go]]", **chosen))
        await client.connect()
        await client.until_state("awaiting_user_input")
    [usage] = [event["llm_metrics"]["accumulated_token_usage"] for event in client.events if event.get("llm_metrics")]
    assert (usage["context_window"], usage["per_turn_token"] > 0) == (window, True)
