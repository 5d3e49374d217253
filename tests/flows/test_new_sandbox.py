"""A conversation goes on in a new sandbox: its model and protocol 2 clients are told, V0 clients see what they know."""

from pathlib import Path

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.session.new_sandbox import NEW_SANDBOX
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import prepared_server
from tests.support.server_clients import Clients

RUN = Reply(calls=[Call(name="execute_bash", arguments={"command": "echo kept > file"})])


async def test_a_workspace_that_is_gone_is_told_and_one_that_was_kept_is_not(data_dir: Path) -> None:
    async with model_server([RUN, Reply(text="Written."), Reply(text="So it is."), Reply(text="I look.")]) as model:
        settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "key"}
        async with prepared_server(data_dir, settings) as server, Clients(server.url) as clients:
            await server.start()
            sid = await clients.rest.create()
            client, v0 = clients.protocol2(sid), clients.v0(sid)
            await server.stopped()
            for text, gone in (("write", False), ("is it there?", False), ("and now?", True)):
                if gone:
                    await LocalRuntimes(data_dir / "runtimes").discard(ConversationId(sid))
                await server.start()
                await client.connect()
                await v0.connect()
                said = await client.say(text)
                await client.until_state("awaiting_user_input", after=said)
                await v0.until_state("awaiting_user_input", after=said)
                await server.stopped()
            await server.start()
            notes = [
                event for event in await clients.rest.events(sid) if event.get("observation") == "sandbox_replaced"
            ]
        shown = [message["content"] for message in model.requests[-1].body["messages"]]
    assert [event["content"] for event in notes] == [NEW_SANDBOX]
    assert shown[-2:] == [NEW_SANDBOX, "and now?"]
    assert NEW_SANDBOX not in str(model.requests[-2].body)
    assert "sandbox_replaced" in str(client.events)
    assert "sandbox_replaced" not in str(v0.events)
