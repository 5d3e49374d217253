"""An agent that goes in circles, as clients of both protocols see it."""

from pathlib import Path

from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import running_server
from tests.support.server_clients import Clients


async def test_clients_see_a_note_then_a_question_and_then_an_end(data_dir: Path) -> None:
    same = [Reply(calls=[Call(name="execute_bash", arguments={"command": "echo same"})]) for _ in range(10)]
    async with model_server([*same, Reply(text="I see.")]) as model:
        settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "key"}
        async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
            sid = await clients.rest.create()
            own, v0 = clients.protocol2(sid), clients.v0(sid)
            await own.connect()
            await v0.connect()
            said = await own.say("go")
            for client in (own, v0):
                await client.until_state("awaiting_user_input", after=said)
                notes = [event for event in client.events if event.get("observation") == "loop_detection"]
                assert ["was paused" in note["content"] for note in notes] == [False, True]
            said = await own.say("continue")
            for client in (own, v0):
                await client.until_state("error", after=said)
            ends = [event for event in own.events if event.get("observation") == "turn_ended"]
            assert [end["extras"]["stop_reason"] for end in ends] == ["repeating", "stuck"]
            said = await own.say("do something else")
            await v0.until_state("awaiting_user_input", after=said)
        assert len(model.requests) == 11
