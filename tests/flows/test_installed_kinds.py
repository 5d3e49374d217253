"""A package of somebody else's brings a model and a store, by its entry points."""

import os
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.running_server import running_server
from tests.support.server_clients import Clients

ACME = Path(__file__).parents[2] / "docs" / "examples" / "acme"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Those of a server that has the example package installed, as an installer leaves it."""
    place = tmp_path / "packages"
    about = place / "acme_sessions-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(ACME / "acme_sessions.py", place)
    project = tomllib.loads((ACME / "pyproject.toml").read_text())["project"]
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    lines = [f"[{group}]\nacme = {each['acme']}\n" for group, each in project["entry-points"].items()]
    (about / "entry_points.txt").write_text(
        "\n".join([*lines, "[openhands_sessions.models]\nbroken = acme_sessions:nothing"])
    )
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "OHS_LLM__MODEL": "acme:loud"}


async def test_a_conversation_with_an_installed_model_is_kept_by_an_installed_store(
    data_dir: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    database = tmp_path / "elsewhere.db"
    settings = variables | {"OHS_STORE__KIND": "acme", "OHS_STORE__URL": f"acme://{database}"}
    async with running_server(data_dir, settings) as server:
        async with Clients(server.url) as clients:
            sid = await clients.rest.create("how are you?")
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_state("awaiting_user_input")
            assert [event["args"]["content"] for event in client.events if event.get("action") == "message"] == [
                "how are you?",
                "HOW ARE YOU?",
            ]
        assert await server.stopped() == 0
        await server.start()
        async with Clients(server.url) as clients:
            log = await clients.rest.events(sid)
    assert "HOW ARE YOU?" in [event["args"].get("content") for event in log if event.get("action") == "message"]
    assert database.is_file()
    assert not (data_dir / "sessions.db").exists()


async def test_an_unknown_kind_of_store_is_refused_with_those_that_there_are(
    data_dir: Path, variables: dict[str, str]
) -> None:
    told = await CommandLine(data_dir, variables).run("serve", "--port", "0", "--set", "store.kind=acm")
    assert told.code == 2
    assert told.err == "error: store.kind must be one of sqlite, memory, acme; did you mean 'acme'?\n"


async def test_a_kind_that_cannot_be_loaded_is_told_to_its_user(data_dir: Path, variables: dict[str, str]) -> None:
    variables["OHS_LLM__MODEL"] = "broken:one"
    async with running_server(data_dir, variables) as server, Clients(server.url) as clients:
        client = clients.protocol2(await clients.rest.create("hello"))
        await client.connect()
        state = await client.until_state("error")
        assert "names 'broken', which cannot be loaded" in state["extras"]["reason"]
