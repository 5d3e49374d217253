"""Recorded REST calls, asked again: the same statuses, and the same fields in what is answered, but for what is listed
here with its reason."""

import json

from tests.support.recorded_traffic import TRAFFIC, shape
from tests.support.running_server import Server
from tests.support.server_clients import Clients

RECORDED_ID = "8a2b6581e9b7436da41de607c57309f7"
WORKSPACE = "printf 'one\\ntwo\\n' > tracked.txt; echo hello > hello.txt; git init -q .; touch untracked.txt"
SETTINGS = {
    "language": "en",
    "agent": "CodeActAgent",
    "max_iterations": 100,
    "llm_model": "openai/fake",
    "llm_api_key": "key",
    "llm_base_url": "http://127.0.0.1:9/v1",
}
OTHERWISE = {
    "GET {id}/vscode-url": 200,  # wire.md: null where there is no editor
    "GET {id}/select-file?file=nosuch": 404,  # what is not there is no error of the server
}
"""Statuses that differ, and why."""
ADDED = {"GET {id}/trajectory": ("user_id", "total_cost")}
"""Fields of ours beside the recorded ones: a client that looks for others does not see them."""
NOT_COMPARED = {
    "GET /server_info": "what this server and its machine are",
    "GET {id}/select-file?file=nosuch": "an error in our form",
    "POST /api/conversations {}": "an error in our form",
    "GET {id}/vscode-url": "nothing failed",
}


async def test_recorded_calls_are_answered_as_they_were(server: Server, clients: Clients) -> None:
    ask = clients.rest.ask
    await ask("POST", "/api/settings", SETTINGS)
    others = [await clients.rest.create(agent="shell") for _ in range(2)]
    sid = await clients.rest.create(f"$ {WORKSPACE}", agent="shell")
    for each in (sid, *others):
        client = clients.v0(each)
        await client.connect()
        await client.until_state("awaiting_user_input")
    wrong = []
    for line in (TRAFFIC / "08_rest.jsonl").read_text().splitlines():
        call = json.loads(line)
        if call["path"] == "/api/conversations" and call["method"] == "POST" and call["body"].get("initial_user_msg"):
            continue  # made above
        name = f"{call['method']} {call['path']}".replace(f"/api/conversations/{RECORDED_ID}", "{id}")
        name = name.replace(RECORDED_ID, "{id}")
        status, answer = await ask(call["method"], call["path"].replace(RECORDED_ID, sid), call["body"])
        if isinstance(answer, dict):
            answer = {key: value for key, value in answer.items() if key not in ADDED.get(name, ())}
        if status != OTHERWISE.get(name, call["status"]):
            wrong.append((name, status, answer))
        elif status < 400 and name not in NOT_COMPARED and shape(answer) != shape(call["answer"]):
            wrong.append((name, shape(answer), shape(call["answer"])))
    assert not wrong
