"""Whether the server takes work, as probes and its log tell it: a full disk, a damaged database, an empty one."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.full_disk import becomes, full_disk
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients, Rest

PATIENCE = 30.0


def store_lines(server: Server) -> list[dict[str, Any]]:
    """What its log says of the store, without times."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    texts = ("nothing can be stored", "what is written is stored again", "the database is damaged, and is not used")
    return [{"level": line["level"], "event": line["event"]} for line in lines if line["event"] in texts]


async def test_a_server_whose_disk_is_full_is_not_ready_until_there_is_room(server: Server, clients: Clients) -> None:
    rest = clients.rest
    with full_disk(server):
        for _ in range(4):
            status, refused = await rest.ask("POST", "/api/conversations", {"initial_user_msg": "hi"})
            assert (status, refused["code"]) == (503, "storage_unavailable")
        told = await becomes(rest, 503)
        assert (told["status"], told["code"], told["message"]) == ("error", "storage_unavailable", refused["message"])
        assert await rest.ask("GET", "/health/live") == (200, {"status": "ok"})
    await becomes(rest, 200)
    assert (await rest.ask("POST", "/api/conversations", {"initial_user_msg": "hi"}))[0] == 200
    assert store_lines(server) == [
        {"level": "error", "event": "nothing can be stored"},
        {"level": "info", "event": "what is written is stored again"},
    ]


async def test_a_server_with_a_damaged_database_is_not_ready_and_its_list_is_an_error(data_dir: Path) -> None:
    async with prepared_server(data_dir) as server, Rest(server.url) as rest:
        await server.start()
        sid = await rest.create()
        await server.stopped()
        database = data_dir / "sessions.db"
        sound = database.read_bytes()
        database.write_bytes(sound[: 2 * 4096] + bytes(14 * 4096) + sound[16 * 4096 :])
        await server.launch()
        told = await becomes(rest, 503)
        assert told["code"] == "storage_unavailable"
        assert str(data_dir) not in told["message"]
        for path in ("/api/conversations", f"/api/conversations/{sid}", f"/api/conversations/{sid}/events"):
            status, refused = await rest.ask("GET", path)
            assert (status, refused["code"], refused["message"]) == (503, "storage_unavailable", told["message"])
        assert store_lines(server) == [{"level": "error", "event": "the database is damaged, and is not used"}]
        assert await server.stopped() == 0
        assert "Traceback" not in server.log
        assert "never retrieved" not in server.log
        for left in data_dir.glob("sessions.db-*"):
            left.unlink()
        database.write_bytes(sound)
        await server.start()
        assert [row["conversation_id"] for row in (await rest.ask("GET", "/api/conversations"))[1]["results"]] == [sid]


async def test_an_empty_database_beside_workspaces_is_refused_at_the_start_and_the_way_out_works(
    data_dir: Path,
) -> None:
    async with prepared_server(data_dir) as server, Rest(server.url) as rest:
        await server.start()
        sid = await rest.create()
        async with asyncio.timeout(PATIENCE):
            while not server.workspace(sid).exists():
                await rest.ask("GET", "/health/live")
        (server.workspace(sid) / "kept.txt").touch()
        await server.stopped()
        for missing in (False, True):
            (data_dir / "sessions.db").write_bytes(b"")
            if missing:
                (data_dir / "sessions.db").unlink()
            await server.launch()
            assert await server.ended() == 1
            assert f"sessions.db is {'missing' if missing else 'empty'}" in server.log
            assert "move the folder of the workspaces away" in server.log
        workspace = server.workspace(sid).relative_to(data_dir / "runtimes")
        (data_dir / "runtimes").rename(data_dir / "kept")
        await server.start()
        assert (await rest.ask("GET", "/api/conversations"))[1]["results"] == []
        assert (data_dir / "kept" / workspace / "kept.txt").exists()
