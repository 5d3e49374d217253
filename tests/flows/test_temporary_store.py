"""`store.kind = memory` keeps conversations for as long as the server lives."""

from pathlib import Path

from tests.support.running_server import running_server
from tests.support.server_clients import Clients


async def test_what_is_kept_in_memory_is_gone_with_the_server(data_dir: Path, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    settings = {"OHS_STORE__KIND": "memory", "TMPDIR": str(place)}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        await clients.rest.create()
        [folder] = place.glob("openhands-sessions-*")
        assert folder.stat().st_mode & 0o077 == 0
        await server.stopped()
        assert list(place.glob("openhands-sessions-*")) == []
        await server.start()
        assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []
