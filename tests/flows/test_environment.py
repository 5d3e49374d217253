"""Keys in the environment of a server: used, and out of reach of the programs that it starts."""

import base64
import json
import os
from pathlib import Path

import pytest

from openhands_sessions.bootstrap.application import open_application
from openhands_sessions.config.config import Config
from openhands_sessions.core.masking import MASK
from openhands_sessions.ports.model import ModelRequest, ModelSpec
from tests.support.model_replies import Call, Reply
from tests.support.model_server import model_server
from tests.support.running_server import prepared_server
from tests.support.server_clients import Clients

KEY = "sk-of-the-provider-0123456789"
ENVIRONMENT = "{ env; cat /proc/$PPID/environ; } | base64 -w0 > seen"
SAID = f"echo {KEY[:9]}''{KEY[9:]}"
HELLO = ModelRequest(messages=[{"role": "user", "content": "hello"}])
SERVE = (
    "import atexit, json, os, pathlib, sys\n"
    "from openhands_sessions.__main__ import main\n"
    "left = pathlib.Path(os.environ['LEFT'])\n"
    "atexit.register(lambda: left.write_text(json.dumps(dict(os.environ))))\n"
    "sys.argv.insert(1, 'serve')\n"
    "main()\n"
)
"""Notes in the end what the environment still holds."""


async def test_a_server_gives_its_keys_to_models_and_to_no_program_that_it_starts(data_dir: Path) -> None:
    calls = [Reply(calls=[Call(name="execute_bash", arguments={"command": each})]) for each in (ENVIRONMENT, SAID)]
    left = data_dir.with_name("left.json")
    async with model_server({"go": [*calls, Reply(text="Done.")]}) as model:
        settings = {
            "OHS_LLM__MODEL": "openai/test-model",
            "OPENAI_API_BASE": model.url,
            "OPENAI_API_KEY": KEY,
            "OHS_SERVER__ENCRYPTION_KEY": "the-encryption-key-4567",
            "LEFT": str(left),
        }
        async with prepared_server(data_dir, settings, program=("-c", SERVE)) as server:
            await server.start()
            async with Clients(server.url) as clients:
                sid = await clients.rest.create("please [[go]]")
                client = clients.protocol2(sid)
                await client.connect()
                await client.until_state("awaiting_user_input")
                seen = base64.b64decode((server.workspace(sid) / "seen").read_bytes()).decode(errors="replace")
            ran = [event["content"] for event in client.events if event.get("observation") == "run"]
            assert await server.stopped() == 0
    assert {asked.headers["Authorization"] for asked in model.requests} == {f"Bearer {KEY}"}
    assert "HOME=" in seen
    assert KEY not in seen
    assert ran[-1].strip() == MASK
    environ = json.loads(left.read_text())
    assert environ["OPENAI_API_BASE"] == model.url
    assert not [name for name in ("OPENAI_API_KEY", "OHS_SERVER__ENCRYPTION_KEY") if name in environ]


async def test_a_program_that_uses_the_package_keeps_its_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model_server([Reply(text="yes")]) as model:
        given = {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": model.url, "OHS_LLM__API_KEY": "sk-2"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        async with open_application(Config(data_dir=data_dir)) as application:
            opened = await application.models.open(ModelSpec(name="openai/test-model"))
            await opened.complete(HELLO, lambda piece: None, lambda retry: None)
        assert model.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert given.items() <= os.environ.items()
