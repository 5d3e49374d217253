"""Trajectories are saved by themselves when sessions end, also by the server after the one that was killed."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId, folder_name
from tests.support.crash_scenario import DEAD
from tests.support.dataset_hub import TOKEN, dataset_hub
from tests.support.running_server import FAILING, prepared_server, running_server
from tests.support.server_clients import Clients

PATIENCE = 60.0
SAVED = 'openhands_sessions_trajectories_total{{outcome="saved"}} {}.0'


def saved(folder: Path, sid: str) -> dict[str, Any] | None:
    path = folder / f"{folder_name(ConversationId(sid))}.json"
    found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
    return found


async def until_saved(folder: Path, sid: str, text: str = "") -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = saved(folder, sid)
            if found is not None and text in json.dumps(found):
                return found
            await asyncio.sleep(0.05)


async def until_told(clients: Clients, figure: str) -> None:
    """Wait until the metrics say so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with clients.rest.http.get(f"{clients.rest.url}/metrics") as answer:
                if figure in await answer.text():
                    return
            await asyncio.sleep(0.05)


async def talk(clients: Clients, message: str, **settings: Any) -> str:
    """A conversation whose turn is over."""
    sid = await clients.rest.create(message, **settings)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    await client.leave()
    return sid


async def stop(clients: Clients, sid: str) -> None:
    status, _ = await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert status == 200


@pytest.mark.slow
async def test_a_session_that_ends_is_saved_as_it_is_exported(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    secrets = {"TOKEN": {"value": "hunter2-is-secret"}}
    async with (
        running_server(data_dir, {"OHS_TRAJECTORIES__SAVE_TO": str(folder)}) as server,
        Clients(server.url) as clients,
    ):
        sid = await talk(clients, "$ echo hello $TOKEN", custom_secrets=secrets)
        private = await talk(clients, "echo private", save_trajectory=False)
        for each in (private, sid):
            await stop(clients, each)
        found = await until_saved(folder, sid)
        _, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
        assert found == exported
        assert found["user_id"] == "local"
        assert "hunter2" not in json.dumps(found)
        last = await talk(clients, "echo the last one")
        await stop(clients, last)
        await until_saved(folder, last)
        assert saved(folder, private) is None
        client = clients.protocol2(sid)
        await client.connect()
        said = await client.say("echo once more")
        await client.until_state("awaiting_user_input", after=said)
        await client.leave()
        await stop(clients, sid)
        await until_saved(folder, sid, "echo once more")
        assert len([*folder.iterdir()]) == 2
        await until_told(clients, SAVED.format(3))


@pytest.mark.slow
async def test_a_killed_server_is_followed_by_one_that_saves(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.write_text("in the way")
    settings = {"OHS_TRAJECTORIES__SAVE_TO": str(folder)}
    async with running_server(data_dir, settings) as server:
        async with Clients(server.url) as clients:
            ended = await talk(clients, "echo ended")
            await stop(clients, ended)
            await server.logged("a trajectory was not saved; it is tried again", 1)
            live = await talk(clients, "echo live")
        await server.killed()
        folder.unlink()
        await server.start()
        await until_saved(folder, ended, "echo ended")
        await until_saved(folder, live, "echo live")
        assert len([*folder.iterdir()]) == 2


@pytest.mark.slow
async def test_a_dataset_gets_one_file_though_the_server_is_killed_in_the_upload_and_the_next_is_refused(
    data_dir: Path,
) -> None:
    async with dataset_hub() as hub:
        hub.gate.clear()
        settings = {
            "HF_ENDPOINT": hub.url,
            "OHS_TRAJECTORIES__SAVE_TO": "hf://datasets/ada/talks",
            "OHS_TRAJECTORIES__OPTIONS": json.dumps({"token": TOKEN}),
        }
        async with running_server(data_dir, settings) as server:
            async with Clients(server.url) as clients:
                sid = await talk(clients, "$ echo hello")
                await stop(clients, sid)
                async with asyncio.timeout(PATIENCE):
                    await hub.come.wait()
            await server.killed()
            hub.refusals = 1
            hub.gate.set()
            await server.start()
            [refused] = await server.logged("a trajectory was not saved; it is tried again", 1)
            assert (refused["conversation_id"], refused["tries"], refused["seconds"]) == (sid, 1, 5)
            assert refused["problem"].startswith("the archive of trajectories refuses: ")
            assert refused["problem"].endswith("HTTP status 403")
            assert TOKEN not in server.log
            await server.logged("a trajectory was saved", 1)
            async with Clients(server.url) as clients:
                _, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
        dataset = hub.datasets["ada/talks"]
        assert dataset.private
        assert {name: json.loads(text) for name, text in dataset.files.items()} == {
            f"{folder_name(ConversationId(sid))}.json": exported
        }


@pytest.mark.parametrize("side", ["before", "amid", pytest.param("staged", marks=pytest.mark.slow), "after"])
async def test_a_server_that_is_killed_while_it_saves_leaves_one_whole_file_and_nothing_else(
    data_dir: Path, tmp_path: Path, side: str
) -> None:
    folder = tmp_path / "archive"
    settings = {"OHS_TRAJECTORIES__SAVE_TO": str(folder)}
    async with prepared_server(data_dir, settings, program=FAILING) as server:
        await server.start("--kill", f"save:0:{side}")
        async with Clients(server.url) as clients:
            sid = await talk(clients, "$ seq 20000")
            with suppress(*DEAD):
                await stop(clients, sid)
        assert await server.ended() == -9
        if side == "amid":
            assert [path.suffix == ".json" for path in folder.iterdir()] == [False], (
                "half a file has no name of its own"
            )
        await server.start()
        async with Clients(server.url) as clients:
            await until_told(clients, SAVED.format(1))
            _, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
        assert await server.stopped() == 0
        assert saved(folder, sid) == exported
        assert len([*folder.iterdir()]) == 1
        async with open_sqlite(data_dir / "sessions.db") as store:
            assert await store.uploads.pending(1) == []
