"""The model server of the tests itself."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.model_replies import Call, Reply
from tests.support.model_server import SCRIPT_RAN_OUT, model_server

SCRIPT = """
work:
  - {say: Looking., call: ls, with: {path: a}}
  - tries: [{fault: rate_limit, retry_after: 3}, {say: Done.}]
"""


async def post(url: str, *texts: str, stream: bool = False) -> tuple[int, str]:
    """Ask with messages that begin with the user's, the agent's being every second."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    body = {"model": "m", "messages": messages, "stream": stream}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/chat/completions", json=body) as response:
        return response.status, await response.text()


def said(answer: tuple[int, str]) -> Any:
    return json.loads(answer[1])["choices"][0]["message"]["content"]


async def test_a_reply_comes_whole_where_no_stream_is_asked_for() -> None:
    async with model_server([Reply(text="yes", calls=[Call(name="ls", arguments={})])]) as server:
        status, text = await post(server.url, "go")
        choice = json.loads(text)["choices"][0]
        assert (status, choice["finish_reason"], choice["message"]["content"]) == (200, "tool_calls", "yes")
        assert choice["message"]["tool_calls"][0]["function"] == {"name": "ls", "arguments": "{}"}


async def test_a_list_that_runs_out_is_complained_about() -> None:
    async with model_server([]) as server:
        assert (await post(server.url, "go"))[0] == SCRIPT_RAN_OUT
        assert len(server.complaints) == 1


async def test_a_marker_chooses_a_script_and_the_history_its_place() -> None:
    scripts = {"a": [Reply(text="a0"), Reply(text="a1")], "b": [Reply(text="b0")]}
    async with model_server(scripts) as server:
        assert said(await post(server.url, "[[a]] go")) == "a0"
        assert said(await post(server.url, "[[a]] go", "a0", "on")) == "a1"
        assert said(await post(server.url, "[[a]] go", "a0", "[[b]]")) == "b0"
        assert said(await post(server.url, "[[b]]", "b0", "on")) == "The script b is over."
        assert said(await post(server.url, "no marker")) == "You said: no marker"


async def test_a_gate_holds_a_reply_until_it_is_opened() -> None:
    gate = asyncio.Event()
    async with model_server([Reply(text="yes", gate=gate, gate_after=1)]) as server:
        asking = asyncio.create_task(post(server.url, "go", stream=True))
        async with asyncio.timeout(20):
            await (await server.asked(1)).streaming.wait()
            assert not asking.done()
            gate.set()
            assert (await asking)[1].endswith("data: [DONE]\n\n")


async def test_it_runs_by_itself_with_a_script_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "tests.support.model_server", "--script", str(tmp_path / "script.yaml")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = json.loads(await process.stdout.readline())["url"]
            assert said(await post(url, "[[work]]")) == "Looking."
            assert (await post(url, "[[work]]", "Looking.", "on"))[0] == 429
            assert said(await post(url, "[[work]]", "Looking.", "on")) == "Done."
            async with aiohttp.ClientSession() as http, http.get(f"{url}/models") as response:
                assert (await response.json())["data"][0]["id"] == "test-model"
    finally:
        process.terminate()
        await process.wait()
