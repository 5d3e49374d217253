"""Agents that see and change state by their tool: on a server, and in a program that is killed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions import Session
from openhands_sessions.core.errors import BadInput
from tests.support.library_programs import LibraryPrograms
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.program_sessions import program_sessions
from tests.support.server_clients import Clients

LONG = 200
"""Seconds for a busy machine."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG)]
WAITS = "awaiting_user_input"
COUNT = "replies:\n  - steps:\n      - {call: state, with: {operation: incr, key: n}}\n      - say: Counted.\n"
COUNTING = """
import json
from openhands_sessions.adapters.mcp.state_tool import StateTool
call, flag = StateTool.call, os.environ["FOLDER"] + "/killed"

async def kills(self, asked):
    done = await call(self, asked)
    if not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return done

StateTool.call = kills
counting = session(state_tool="write")
say(counting.chat("Count", idempotency_key="k"))
say(json.dumps([counting.get_state(), counting.events()]))
"""


def states(*operations: dict[str, Any]) -> list[Reply]:
    return [Reply(calls=[Call(name="state", arguments=each)]) for each in operations]


def results(model: ModelServer) -> list[str]:
    """What the model was told of its calls."""
    return [message["content"] for message in model.requests[-1].messages if message["role"] == "tool"]


async def created(clients: Clients, model: ModelServer, **chosen: Any) -> str:
    settings = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback", **chosen}
    status, made = await clients.rest.ask("POST", "/api/conversations", {"settings": settings})
    assert status == 200, made
    return str(made["conversation_id"])


async def values(clients: Clients, sid: str) -> dict[str, Any]:
    status, told = await clients.rest.ask("GET", f"/api/conversations/{sid}/state")
    assert status == 200, told
    return {key: entry["value"] for key, entry in told["entries"].items()}


async def test_an_agent_and_its_clients_share_the_state_of_a_conversation(clients: Clients) -> None:
    script = [
        *states({"operation": "get"}, {"operation": "incr", "key": "n", "value": 2}, {"operation": "incr"}),
        Reply(text="Done."),
    ]
    async with model_server(script) as model:
        sid = await created(clients, model, state_tool="write")
        path = f"/api/conversations/{sid}/state"
        status, _ = await clients.rest.ask("PATCH", path, {"operations": [{"op": "set", "key": "n", "value": 40}]})
        assert status == 200
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state(WAITS, within=60)
        said = await client.say("Count")
        await client.until_state(WAITS, after=said, within=60)
        assert results(model)[:2] == ["n: 40", "n: 42"]
        assert "key must be a text" in results(model)[2]
        assert await values(clients, sid) == {"n": 42}
        recorded = [event["args"] for event in client.events if event.get("action") == "call_tool_mcp"]
        assert recorded[1]["arguments"] == {"operation": "incr", "key": "n", "value": 2}


async def test_a_change_waits_for_an_answer_in_confirmation_mode(clients: Clients) -> None:
    async with model_server([*states({"operation": "incr", "key": "n"}), Reply(text="Done.")]) as model:
        sid = await created(clients, model, state_tool="write", confirmation_mode=True)
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state(WAITS, within=60)
        said = await client.say("Count")
        await client.until_state("awaiting_user_confirmation", after=said, within=60)
        assert await values(clients, sid) == {}


async def test_without_the_setting_there_is_no_tool_and_a_function_of_its_name_is_the_programs(tmp_path: Path) -> None:
    def state(operation: str) -> str:
        """Mine."""
        return f"mine: {operation}"

    async with program_sessions(tmp_path, [*states({"operation": "get"}), Reply(text="Done.")]) as program:
        assert await program.session("one", state).achat("Look") == "Done."
        assert results(program.model) == ["mine: get"]
        with pytest.raises(BadInput, match="'state'"):
            await program.session("two", state, state_tool="read").achat("Look")
        with pytest.raises(BadInput, match="state_tool"):
            Session(state_tool="all")  # type: ignore[arg-type]  # as a program may


async def test_an_agent_of_a_program_sees_the_states_of_its_session_user_and_app(tmp_path: Path) -> None:
    async with program_sessions(tmp_path, [*states({"operation": "get"}), Reply(text="Done.")]) as program:
        session = program.session(state_tool="read", app_name="shop", user_id="ada")
        for key, value in {"user:name": "Ada", "app:open": True, "n": 1}.items():
            await session.aset_state(key, value)
        assert await session.achat("Look") == "Done."
        assert results(program.model) == ['n: 1\nuser:name: "Ada"\napp:open: true']
        [offered] = [each["function"] for each in program.model.requests[0].body["tools"]]
        assert offered["parameters"]["properties"]["operation"]["enum"] == ["get"]


async def test_a_change_that_a_kill_cuts_off_before_it_is_recorded_is_made_again_and_counts_once(
    tmp_path: Path,
) -> None:
    programs = LibraryPrograms(folder=tmp_path)
    programs.script(COUNT)
    await programs.run(COUNTING, code=-signal.SIGKILL)
    answer, told = (await programs.run(COUNTING)).splitlines()
    state, events = json.loads(told)
    assert (answer, state) == ("Counted.", {"n": 1})
    assert [event["content"] for event in events if event.get("observation") == "mcp"] == ["n: 1"]
    assert [event for event in events if event.get("observation") == "error"] == []
